using System.Globalization;
using LLama;
using LLama.Batched;
using LLama.Common;
using LLama.Native;
using LLama.Sampling;

namespace EdgeKV.LLamaSharpRunner;

/// <summary>What LLamaSharp's executors say with one model: the same on every libllama that LLamaSharp can run on.</summary>
internal static class Texts
{
    private const string Story = "The lighthouse keeper wrote in the log every evening. On the third of March the lamp";
    private const int Tokens = 16;

    /// <summary>A text of every executor, by its name.</summary>
    /// <param name="model">The GGUF file.</param>
    /// <param name="made">Gets every context that is made here, before it is used. Those that executors make by themselves are not among them.</param>
    public static async Task<Dictionary<string, string>> AllAsync(string model, Action<LLamaContext> made)
    {
        ModelParams parameters = new(model) { ContextSize = 512, GpuLayerCount = 0, Threads = 2, BatchThreads = 2 };
        using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
        Dictionary<string, string> texts = new()
        {
            ["stateless"] = await JoinAsync(new StatelessExecutor(weights, parameters).InferAsync(Story, Greedy())).ConfigureAwait(false),
            ["sampled"] = await JoinAsync(new StatelessExecutor(weights, parameters).InferAsync(Story, Sampled())).ConfigureAwait(false),
            ["grammar"] = await JoinAsync(new StatelessExecutor(weights, parameters).InferAsync(
                "Is the sea blue? Answer with yes or no:", Grammatical())).ConfigureAwait(false),
        };
        using (LLamaContext context = Make(weights, parameters, made))
        {
            InteractiveExecutor executor = new(context);
            string first = await JoinAsync(executor.InferAsync(Story, Greedy())).ConfigureAwait(false);
            texts["interactive"] = $"{first} | {await JoinAsync(executor.InferAsync(" Then the keeper", Greedy())).ConfigureAwait(false)}";
        }

        using (LLamaContext context = Make(weights, parameters, made))
        {
            ChatSession session = new(new InteractiveExecutor(context));
            session.AddSystemMessage("You answer in one sentence.");
            string first = await ChatAsync(session, "Which colour has grass?").ConfigureAwait(false);
            texts["chat"] = $"{first} | {await ChatAsync(session, "And snow?").ConfigureAwait(false)}";
        }

        texts["batched"] = await BatchedAsync(weights, parameters, made).ConfigureAwait(false);
        texts["state"] = await StateAsync(weights, parameters, made).ConfigureAwait(false);
        texts["embeddings"] = await EmbeddingsAsync(weights, parameters).ConfigureAwait(false);
        return texts;
    }

    private static LLamaContext Make(LLamaWeights weights, ModelParams parameters, Action<LLamaContext> made)
    {
        LLamaContext context = weights.CreateContext(parameters);
        made(context);
        return context;
    }

    private static InferenceParams Greedy() => new() { MaxTokens = Tokens, SamplingPipeline = new GreedySamplingPipeline() };

    private static InferenceParams Sampled() => new() { MaxTokens = Tokens, SamplingPipeline = new DefaultSamplingPipeline { Seed = 7, Temperature = 0.8f } };

    private static InferenceParams Grammatical() => new()
    {
        MaxTokens = Tokens,
        SamplingPipeline = new DefaultSamplingPipeline { Seed = 7, Grammar = new Grammar("root ::= \" \" (\"yes\" | \"no\") \", because \" [a-z ]+ \".\"", "root") },
    };

    private static Task<string> ChatAsync(ChatSession session, string question) =>
        JoinAsync(session.ChatAsync(new ChatHistory.Message(AuthorRole.User, question), Greedy()));

    /// <summary>Three conversations that share a beginning, decoded in one batch a step.</summary>
    private static async Task<string> BatchedAsync(LLamaWeights weights, ModelParams parameters, Action<LLamaContext> made)
    {
        using BatchedExecutor executor = new(weights, parameters);
        made(executor.Context);
        using Conversation start = executor.Create();
        start.Prompt(executor.Context.Tokenize(Story));
        await InferAsync(executor).ConfigureAwait(false);
        Conversation[] all = [start, start.Fork(), start.Fork()];
        string[] continued = ["", " had", " was never"];
        List<LLamaToken>[] said = [[], [], []];
        using GreedySamplingPipeline sampler = new();
        LLamaToken[] next = [.. all.Select(conversation => conversation.Sample(sampler))];
        for (int i = 1; i < all.Length; i++)
        {
            all[i].Prompt(executor.Context.Tokenize(continued[i], addBos: false));
        }

        said[0].Add(next[0]);
        all[0].Prompt(next[0]);
        for (int step = 0; step < Tokens; step++)
        {
            await InferAsync(executor).ConfigureAwait(false);
            for (int i = 0; i < all.Length; i++)
            {
                LLamaToken token = all[i].Sample(sampler);
                said[i].Add(token);
                all[i].Prompt(token);
            }
        }

        string text = string.Join(" | ", said.Select(tokens => TextOf(executor.Context, tokens)));
        foreach (Conversation fork in all[1..])
        {
            fork.Dispose();
        }

        return text;
    }

    /// <summary>Goes on from a state that was saved by one context and loaded by another.</summary>
    private static async Task<string> StateAsync(LLamaWeights weights, ModelParams parameters, Action<LLamaContext> made)
    {
        string path = Path.GetTempFileName();
        try
        {
            string before;
            StatefulExecutorBase.ExecutorBaseState at;
            using (LLamaContext context = Make(weights, parameters, made))
            {
                InteractiveExecutor executor = new(context);
                before = await JoinAsync(executor.InferAsync(Story, Greedy())).ConfigureAwait(false);
                at = executor.GetStateData();
                context.SaveState(path);
            }

            using LLamaContext other = Make(weights, parameters, made);
            other.LoadState(path);
            InteractiveExecutor continued = new(other);
            await continued.LoadState(at).ConfigureAwait(false);
            return $"{before} | {await JoinAsync(continued.InferAsync(" The next day", Greedy())).ConfigureAwait(false)}";
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static async Task<string> EmbeddingsAsync(LLamaWeights weights, ModelParams parameters)
    {
        using LLamaEmbedder embedder = new(weights, parameters with { Embeddings = true, PoolingType = LLamaPoolingType.Mean, UBatchSize = 512, BatchSize = 512 });
        IReadOnlyList<float[]> vectors = await embedder.GetEmbeddings(Story).ConfigureAwait(false);
        return string.Join(' ', vectors[0].Take(32).Select(value => value.ToString("R", CultureInfo.InvariantCulture)));
    }

    private static string TextOf(LLamaContext context, List<LLamaToken> tokens)
    {
        StreamingTokenDecoder decoder = new(context);
        decoder.AddRange(tokens);
        return decoder.Read();
    }

    private static async Task InferAsync(BatchedExecutor executor)
    {
        DecodeResult result = await executor.Infer().ConfigureAwait(false);
        if (result != DecodeResult.Ok)
        {
            throw new InvalidOperationException($"Decoding the batch gave {result}.");
        }
    }

    private static async Task<string> JoinAsync(IAsyncEnumerable<string> pieces)
    {
        string text = "";
        await foreach (string piece in pieces.ConfigureAwait(false))
        {
            text += piece;
        }

        return text;
    }
}
