using System.Security.Cryptography;

namespace EdgeKV.Measurements.Subjects;

/// <summary>
/// Writes <see cref="TinyModel"/>s as GGUF files, the same bytes on every machine. Weights are scaled so that attention decides the
/// output: logits of attention with a standard deviation of about 2, so that a few tokens take most of it, and values that weigh as much
/// as the residual stream.
/// </summary>
public static class TinyModels
{
    private static readonly Dictionary<TinyModel, string> Paths = [];
    private static readonly Lock Gate = new();

    /// <summary>Models whose cache can be made compact.</summary>
    public static IReadOnlyList<TinyModel> Supported { get; } =
    [
        TinyModel.LlamaGrouped, TinyModel.LlamaUngrouped, TinyModel.LlamaFused, TinyModel.LlamaOddHead, TinyModel.Qwen2, TinyModel.Qwen3, TinyModel.Phi3,
        TinyModel.OpenElm, TinyModel.Deci,
    ];

    /// <summary>Models of those whose layers differ in heads, or have no cache.</summary>
    public static IReadOnlyList<TinyModel> WithLayersThatDiffer { get; } = [TinyModel.OpenElm, TinyModel.Deci];

    /// <summary>Models that must be refused, and a word of the reason that the refusal must name.</summary>
    public static IReadOnlyDictionary<TinyModel, string> Refused { get; } = new Dictionary<TinyModel, string>
    {
        [TinyModel.Gemma3] = "sliding",
        [TinyModel.Mamba] = "recurrent",
        [TinyModel.DeepSeek2] = "MLA",
        [TinyModel.Bloom] = "ALiBi",
        [TinyModel.Qwen2Vl] = "M-RoPE",
        [TinyModel.Lfm2] = "recurrent",
        [TinyModel.Laguna] = "sliding",
        [TinyModel.MiniMaxM3] = "sparse",
        [TinyModel.GlmDsa] = "MLA",
    };

    /// <summary>The model's file, written to the temporary folder when it is not there yet.</summary>
    public static string PathOf(TinyModel model)
    {
        lock (Gate)
        {
            if (!Paths.TryGetValue(model, out string? path))
            {
                byte[] file = Build(model).ToArray();
                string hash = Convert.ToHexStringLower(SHA256.HashData(file))[..16];
                path = Path.Combine(Places.Cache, $"{model}-{hash}.gguf");
                if (!File.Exists(path))
                {
                    // Several test processes may write it at once.
                    string draft = $"{path}.{Environment.ProcessId}";
                    File.WriteAllBytes(draft, file);
                    File.Move(draft, path, overwrite: true);
                }

                Paths.Add(model, path);
            }

            return path;
        }
    }

    /// <summary>Random tokens of the tiny vocabulary, control tokens left out.</summary>
    public static int[] RandomTokens(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(256))];
    }

    private static GgufWriter Build(TinyModel model) => model switch
    {
        TinyModel.LlamaGrouped => Dense(new("llama", Layers: 3, Heads: 8, KvHeads: 2, HeadSize: 128, Embedding: 256)),
        TinyModel.LlamaUngrouped => Dense(new("llama", Layers: 3, Heads: 4, KvHeads: 4, HeadSize: 64, Embedding: 256)),
        TinyModel.LlamaFused => Dense(new("llama", Layers: 3, Heads: 6, KvHeads: 2, HeadSize: 64, Embedding: 256) { Fused = true }),
        TinyModel.LlamaOddHead => Dense(new("llama", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 96, Embedding: 256)),
        TinyModel.LlamaNarrowHead => Dense(new("llama", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 48, Embedding: 192)),
        TinyModel.Qwen2 => Dense(new("qwen2", Layers: 3, Heads: 6, KvHeads: 2, HeadSize: 64, Embedding: 384) { Biases = true }),
        TinyModel.Qwen3 => Dense(new("qwen3", Layers: 3, Heads: 8, KvHeads: 4, HeadSize: 64, Embedding: 256) { HeadNorms = true }),
        TinyModel.Phi3 => Dense(new("phi3", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { Fused = true, FusedGate = true }),
        TinyModel.OpenElm => OpenElm(),
        TinyModel.Deci => Deci(),
        TinyModel.LlamaLongWindow => Dense(new("llama", Layers: 2, Heads: 2, KvHeads: 2, HeadSize: 64, Embedding: 128) { Window = 1 << 30 }),
        TinyModel.LlamaLongRope => LongRope(),
        TinyModel.LlamaYarn => Yarn(),
        TinyModel.Gemma3 => TinyOtherCaches.Gemma3(),
        TinyModel.Mamba => TinyOtherCaches.Mamba(),
        TinyModel.DeepSeek2 => TinyOtherCaches.DeepSeek2(),
        TinyModel.Bloom => TinyOtherCaches.Bloom(),
        TinyModel.Qwen2Vl => TinyOtherCaches.Qwen2Vl(),
        TinyModel.Lfm2 => TinyOtherCaches.Lfm2(),
        TinyModel.Laguna => TinyOtherCaches.Laguna(),
        TinyModel.Nanbeige => Nanbeige(),
        TinyModel.MiniMaxM3 => TinyOtherCaches.MiniMaxM3(),
        TinyModel.GlmDsa => TinyOtherCaches.GlmDsa(),
        _ => throw new ArgumentOutOfRangeException(nameof(model), model, "There is no such model."),
    };

    private static GgufWriter Dense(TinyShape shape)
    {
        var draft = new TinyDraft(shape);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.FeedForward(i);
        }

        return draft.File;
    }

    private static GgufWriter OpenElm()
    {
        var shape = new TinyShape("openelm", Layers: 3, Heads: 4, KvHeads: 1, HeadSize: 64, Embedding: 256)
        {
            HeadNorms = true,
            Fused = true,
            HeadsByLayer = [4, 6, 8],
            KvHeadsByLayer = [1, 3, 2],
            TiedOutput = true,
        };
        return Dense(shape);
    }

    private static GgufWriter Deci()
    {
        var shape = new TinyShape("deci", Layers: 4, Heads: 8, KvHeads: 2, HeadSize: 64, Embedding: 256)
        {
            HeadsByLayer = [8, 8, 0, 4],
            KvHeadsByLayer = [2, 0, 0, 4],
        };
        var draft = new TinyDraft(shape);
        draft.Attention(0);
        draft.FeedForward(0);
        draft.Norm("blk.1.attn_norm.weight", shape.Embedding);
        draft.Matrix("blk.1.attn_output.weight", shape.Embedding, shape.Embedding);
        draft.FeedForward(1);
        draft.FeedForward(2);
        draft.Attention(3);
        draft.FeedForward(3);
        return draft.File;
    }

    private static GgufWriter LongRope()
    {
        const uint Short = 1024;
        var shape = new TinyShape("llama", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256);
        GgufWriter file = Dense(shape);
        file.Add("llama.rope.scaling.type", "longrope");
        file.Add("llama.rope.scaling.original_context_length", Short);
        file.AddTensor("rope_factors_short.weight", [.. Enumerable.Repeat(1f, shape.RopeSize / 2)], shape.RopeSize / 2);
        file.AddTensor("rope_factors_long.weight", [.. Enumerable.Range(0, shape.RopeSize / 2).Select(i => 1 + i / 4f)], shape.RopeSize / 2);
        return file;
    }

    private static GgufWriter Yarn()
    {
        GgufWriter file = Dense(new("llama", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256));
        file.Add("llama.rope.scaling.type", "yarn");
        file.Add("llama.rope.scaling.factor", 4f);
        file.Add("llama.rope.scaling.original_context_length", 1024u);
        return file;
    }

    private static GgufWriter Nanbeige()
    {
        GgufWriter file = Dense(new("nanbeige", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256));
        file.Add("nanbeige.num_loops", 2u);
        return file;
    }
}
