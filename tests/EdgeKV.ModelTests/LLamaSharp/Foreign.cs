using EdgeKV.Measurements.Subjects;
using LLama;
using LLama.Common;
using LLama.Native;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>Weights and a context that LLamaSharp made, as a program that knows nothing of EdgeKV has them.</summary>
internal sealed class Foreign : IDisposable
{
    private Foreign(LLamaWeights weights, LLamaContext context)
    {
        Weights = weights;
        Context = context;
    }

    public LLamaWeights Weights { get; }

    public LLamaContext Context { get; }

    /// <summary>LLamaSharp's parameters as they come, for one thread on the CPU, whatever devices there are.</summary>
    public static ModelParams Parameters(string model, uint contextSize = 512)
    {
        EdgeKVRuntime.Use();
        return new ModelParams(model)
        {
            ContextSize = contextSize,

            // InteractiveExecutor.PrefillPromptAsync feeds one batch of its prompt and no more.
            BatchSize = contextSize,
            GpuLayerCount = 0,
            Threads = 1,
            BatchThreads = 1,
        };
    }

    /// <summary>A context of a tiny model.</summary>
    public static Foreign Tiny(TinyModel model = TinyModel.Qwen2, Action<ModelParams>? change = null) => Of(TinyModels.PathOf(model), 512, change);

    /// <summary>A context of a file.</summary>
    public static Foreign Of(string path, uint contextSize, Action<ModelParams>? change = null)
    {
        ModelParams parameters = Parameters(path, contextSize);
        change?.Invoke(parameters);
        LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
        try
        {
            return new Foreign(weights, weights.CreateContext(parameters));
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Another context over the same weights.</summary>
    public LLamaContext Another(string path, uint contextSize = 512) => Weights.CreateContext(Parameters(path, contextSize));

    /// <summary>Decodes tokens in one batch of LLamaSharp's, with the last one's logits.</summary>
    public DecodeResult Decode(ReadOnlySpan<int> tokens, int position, int sequence = 0) => Decode(Context, tokens, position, sequence);

    /// <summary>Decodes tokens in one batch of LLamaSharp's, with the last one's logits.</summary>
    public static DecodeResult Decode(LLamaContext context, ReadOnlySpan<int> tokens, int position, int sequence = 0)
    {
        LLamaBatch batch = new();
        for (int i = 0; i < tokens.Length; i++)
        {
            batch.Add(tokens[i], position + i, (LLamaSeqId)sequence, i == tokens.Length - 1);
        }

        return context.Decode(batch);
    }

    public void Dispose()
    {
        Context.Dispose();
        Weights.Dispose();
    }
}
