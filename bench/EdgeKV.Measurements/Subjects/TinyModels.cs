using System.Security.Cryptography;

namespace EdgeKV.Measurements.Subjects;

/// <summary>
/// Writes <see cref="TinyModel"/>s as GGUF files, the same bytes on every machine. Weights are scaled so that attention decides the
/// output: logits of attention with a standard deviation of about 2, so that a few tokens take most of it, and values that weigh as much
/// as the residual stream.
/// </summary>
public static partial class TinyModels
{
    private static readonly Dictionary<TinyModel, string> Paths = [];
    private static readonly Lock Gate = new();

    /// <summary>Models whose cache can be made compact.</summary>
    public static IReadOnlyList<TinyModel> Supported { get; } =
        [TinyModel.LlamaGrouped, TinyModel.LlamaUngrouped, TinyModel.LlamaFused, TinyModel.LlamaOddHead, TinyModel.Qwen2, TinyModel.Qwen3, TinyModel.Phi3];

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
        TinyModel.Qwen2 => Dense(new("qwen2", Layers: 3, Heads: 6, KvHeads: 2, HeadSize: 64, Embedding: 384) { Biases = true }),
        TinyModel.Qwen3 => Dense(new("qwen3", Layers: 3, Heads: 8, KvHeads: 4, HeadSize: 64, Embedding: 256) { HeadNorms = true }),
        TinyModel.Phi3 => Dense(new("phi3", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { Fused = true, FusedGate = true }),
        TinyModel.OpenElm => OpenElm(),
        TinyModel.Deci => Deci(),
        TinyModel.LlamaLongWindow => Dense(new("llama", Layers: 2, Heads: 2, KvHeads: 2, HeadSize: 64, Embedding: 128) { Window = 1 << 30 }),
        TinyModel.LlamaLongRope => LongRope(),
        TinyModel.LlamaYarn => Yarn(),
        TinyModel.Gemma3 => Gemma3(),
        TinyModel.Mamba => Mamba(),
        TinyModel.DeepSeek2 => DeepSeek2(),
        TinyModel.Bloom => Bloom(),
        TinyModel.Qwen2Vl => Qwen2Vl(),
        TinyModel.Lfm2 => Lfm2(),
        TinyModel.Laguna => Laguna(),
        TinyModel.Nanbeige => Nanbeige(),
        TinyModel.MiniMaxM3 => MiniMaxM3(),
        TinyModel.GlmDsa => GlmDsa(),
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

    private static GgufWriter Gemma3()
    {
        var shape = new TinyShape("gemma3", Layers: 6, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { HeadNorms = true };
        var draft = new TinyDraft(shape);
        draft.File.Add("gemma3.attention.sliding_window", 64u);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.Norm($"blk.{i}.post_attention_norm.weight", shape.Embedding);
            draft.FeedForward(i);
            draft.Norm($"blk.{i}.post_ffw_norm.weight", shape.Embedding);
        }

        return draft.File;
    }

    private static GgufWriter Mamba()
    {
        const int Inner = 128, State = 16, Step = 4, Kernel = 4;
        var shape = new TinyShape("mamba", Layers: 2, Heads: 0, KvHeads: 0, HeadSize: 0, Embedding: Inner / 2);
        var draft = new TinyDraft(shape);
        draft.File.Add("mamba.ssm.conv_kernel", (uint)Kernel);
        draft.File.Add("mamba.ssm.inner_size", (uint)Inner);
        draft.File.Add("mamba.ssm.state_size", (uint)State);
        draft.File.Add("mamba.ssm.time_step_rank", (uint)Step);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Norm($"blk.{i}.attn_norm.weight", shape.Embedding);
            draft.Matrix($"blk.{i}.ssm_in.weight", shape.Embedding, 2 * Inner);
            draft.Matrix($"blk.{i}.ssm_conv1d.weight", Kernel, Inner);
            draft.Constant($"blk.{i}.ssm_conv1d.bias", 0, Inner);
            draft.Matrix($"blk.{i}.ssm_x.weight", Inner, Step + (2 * State));
            draft.Matrix($"blk.{i}.ssm_dt.weight", Step, Inner);
            draft.Constant($"blk.{i}.ssm_dt.bias", 0, Inner);
            draft.Constant($"blk.{i}.ssm_a", -1, State, Inner);
            draft.Constant($"blk.{i}.ssm_d", 1, Inner);
            draft.Matrix($"blk.{i}.ssm_out.weight", Inner, shape.Embedding);
        }

        return draft.File;
    }

    private static GgufWriter DeepSeek2()
    {
        const int QueryRank = 48, Rank = 32, Rope = 16, Plain = 32, Value = 32;
        var shape = new TinyShape("deepseek2", Layers: 2, Heads: 4, KvHeads: 1, HeadSize: Rank + Rope, Embedding: 128)
        {
            ValueSize = Rank,
            RopeSize = Rope,
        };
        var draft = new TinyDraft(shape);
        draft.File.Add("deepseek2.leading_dense_block_count", (uint)shape.Layers);
        draft.File.Add("deepseek2.attention.q_lora_rank", (uint)QueryRank);
        draft.File.Add("deepseek2.attention.kv_lora_rank", (uint)Rank);
        draft.File.Add("deepseek2.attention.key_length_mla", (uint)(Plain + Rope));
        draft.File.Add("deepseek2.attention.value_length_mla", (uint)Value);
        draft.File.Add("deepseek2.expert_feed_forward_length", 64u);
        draft.File.Add("deepseek2.expert_shared_count", 1u);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Norm($"blk.{i}.attn_norm.weight", shape.Embedding);
            draft.Norm($"blk.{i}.attn_q_a_norm.weight", QueryRank);
            draft.Norm($"blk.{i}.attn_kv_a_norm.weight", Rank);
            draft.Matrix($"blk.{i}.attn_q_a.weight", shape.Embedding, QueryRank);
            draft.Matrix($"blk.{i}.attn_q_b.weight", QueryRank, shape.Heads * (Plain + Rope));
            draft.Matrix($"blk.{i}.attn_kv_a_mqa.weight", shape.Embedding, Rank + Rope);
            draft.Matrix($"blk.{i}.attn_k_b.weight", Plain, Rank, shape.Heads);
            draft.Matrix($"blk.{i}.attn_v_b.weight", Rank, Value, shape.Heads);
            draft.Matrix($"blk.{i}.attn_output.weight", shape.Heads * Value, shape.Embedding);
            draft.FeedForward(i);
        }

        return draft.File;
    }

    private static GgufWriter Bloom()
    {
        var shape = new TinyShape("bloom", Layers: 2, Heads: 4, KvHeads: 4, HeadSize: 32, Embedding: 128);
        var draft = new TinyDraft(shape);
        draft.File.Add("bloom.attention.layer_norm_epsilon", 1e-5f);
        int width = shape.Embedding;
        draft.Biased("token_embd_norm", width);
        draft.Constant("output_norm.bias", 0, width);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Biased($"blk.{i}.attn_norm", width);
            draft.Matrix($"blk.{i}.attn_qkv.weight", width, 3 * width);
            draft.Constant($"blk.{i}.attn_qkv.bias", 0, 3 * width);
            draft.Matrix($"blk.{i}.attn_output.weight", width, width);
            draft.Constant($"blk.{i}.attn_output.bias", 0, width);
            draft.Biased($"blk.{i}.ffn_norm", width);
            draft.Matrix($"blk.{i}.ffn_up.weight", width, shape.FeedForward);
            draft.Constant($"blk.{i}.ffn_up.bias", 0, shape.FeedForward);
            draft.Matrix($"blk.{i}.ffn_down.weight", shape.FeedForward, width);
            draft.Constant($"blk.{i}.ffn_down.bias", 0, width);
        }

        return draft.File;
    }

    private static GgufWriter Qwen2Vl()
    {
        var shape = new TinyShape("qwen2vl", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { Biases = true };
        var draft = new TinyDraft(shape);
        draft.File.Add("qwen2vl.rope.dimension_sections", [8, 12, 12, 0]);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.FeedForward(i);
        }

        return draft.File;
    }

    private static GgufWriter Lfm2()
    {
        const int Kernel = 3;
        var shape = new TinyShape("lfm2", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256)
        {
            HeadNorms = true,
            KvHeadsByLayer = [0, 2],
            OutputNorm = "token_embd_norm.weight",
        };
        var draft = new TinyDraft(shape);
        draft.File.Add("lfm2.shortconv.l_cache", (uint)Kernel);
        draft.Norm("blk.0.attn_norm.weight", shape.Embedding);
        draft.Matrix("blk.0.shortconv.conv.weight", Kernel, shape.Embedding);
        draft.Matrix("blk.0.shortconv.in_proj.weight", shape.Embedding, 3 * shape.Embedding);
        draft.Matrix("blk.0.shortconv.out_proj.weight", shape.Embedding, shape.Embedding);
        draft.FeedForward(0);
        draft.Attention(1);
        draft.FeedForward(1);
        return draft.File;
    }
}
