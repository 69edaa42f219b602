using System.Security.Cryptography;

namespace EdgeKV.Testing;

/// <summary>
/// Writes <see cref="TinyModel"/>s as GGUF files, the same bytes on every machine. Weights are scaled so that attention decides the
/// output: logits of attention with a standard deviation of about 2, so that a few tokens take most of it, and values that weigh as much
/// as the residual stream.
/// </summary>
public static class TinyModels
{
    private const int DefaultWindow = 4096;

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
        TinyModel.LlamaLongWindow => Dense(new("llama", Layers: 2, Heads: 2, KvHeads: 2, HeadSize: 64, Embedding: 128) { Window = 1 << 30 }),
        TinyModel.LlamaLongRope => LongRope(),
        TinyModel.LlamaYarn => Yarn(),
        TinyModel.Gemma3 => Gemma3(),
        TinyModel.Mamba => Mamba(),
        TinyModel.DeepSeek2 => DeepSeek2(),
        TinyModel.Bloom => Bloom(),
        TinyModel.Qwen2Vl => Qwen2Vl(),
        TinyModel.Lfm2 => Lfm2(),
        _ => throw new ArgumentOutOfRangeException(nameof(model), model, "There is no such model."),
    };

    private static GgufWriter Dense(Shape shape)
    {
        var draft = new Draft(shape);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.FeedForward(i);
        }

        return draft.File;
    }

    private static GgufWriter LongRope()
    {
        const uint Short = 1024;
        var shape = new Shape("llama", Layers: 3, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256);
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
        file.Add("llama.rope.scaling.original_context_length", DefaultWindow / 4u);
        return file;
    }

    private static GgufWriter Gemma3()
    {
        var shape = new Shape("gemma3", Layers: 6, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { HeadNorms = true };
        var draft = new Draft(shape);
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
        var shape = new Shape("mamba", Layers: 2, Heads: 0, KvHeads: 0, HeadSize: 0, Embedding: Inner / 2);
        var draft = new Draft(shape);
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
        var shape = new Shape("deepseek2", Layers: 2, Heads: 4, KvHeads: 1, HeadSize: Rank + Rope, Embedding: 128)
        {
            ValueSize = Rank,
            RopeSize = Rope,
        };
        var draft = new Draft(shape);
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
        var shape = new Shape("bloom", Layers: 2, Heads: 4, KvHeads: 4, HeadSize: 32, Embedding: 128);
        var draft = new Draft(shape);
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
        var shape = new Shape("qwen2vl", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { Biases = true };
        var draft = new Draft(shape);
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
        var shape = new Shape("lfm2", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256)
        {
            HeadNorms = true,
            KvHeadsByLayer = [0, 2],
            OutputNorm = "token_embd_norm.weight",
        };
        var draft = new Draft(shape);
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

    private sealed record Shape(string Architecture, int Layers, int Heads, int KvHeads, int HeadSize, int Embedding)
    {
        public int FeedForward => 2 * Embedding;

        public int ValueSize { get; init; } = HeadSize;

        public int RopeSize { get; init; } = HeadSize;

        public int Window { get; init; } = DefaultWindow;

        public bool Fused { get; init; }

        public bool FusedGate { get; init; }

        public bool Biases { get; init; }

        public bool HeadNorms { get; init; }

        public int[]? KvHeadsByLayer { get; init; }

        public string OutputNorm { get; init; } = "output_norm.weight";
    }

    /// <summary>A file under way: metadata and the tensors that all share come first, then layer by layer.</summary>
    private sealed class Draft
    {
        // Root mean square of a query's and a key's elements; their product is the standard deviation of attention's logits.
        private const double QueryScale = 1.45;
        private const double OutputScale = 1.5;
        private const double LogitScale = 2.5;

        private readonly Shape _shape;
        private readonly Random _random;

        public Draft(Shape shape)
        {
            _shape = shape;
            _random = new Random(20260720);
            string a = shape.Architecture;
            File.Add("general.architecture", a);
            // llama.cpp looks for special tokens in the vocabularies of models that are named phi3.
            File.Add("general.name", $"tiny random {a.TrimEnd('3')}");
            File.Add($"{a}.context_length", (uint)shape.Window);
            File.Add($"{a}.embedding_length", (uint)shape.Embedding);
            File.Add($"{a}.block_count", (uint)shape.Layers);
            File.Add($"{a}.feed_forward_length", (uint)shape.FeedForward);
            File.Add($"{a}.attention.layer_norm_rms_epsilon", 1e-5f);
            if (shape.Heads > 0)
            {
                File.Add($"{a}.attention.head_count", (uint)shape.Heads);
                File.Add($"{a}.attention.key_length", (uint)shape.HeadSize);
                File.Add($"{a}.attention.value_length", (uint)shape.ValueSize);
                File.Add($"{a}.rope.dimension_count", (uint)shape.RopeSize);
                File.Add($"{a}.rope.freq_base", 10000f);
                if (shape.KvHeadsByLayer is { } heads)
                {
                    File.Add($"{a}.attention.head_count_kv", heads);
                }
                else
                {
                    File.Add($"{a}.attention.head_count_kv", (uint)shape.KvHeads);
                }
            }

            TinyVocabulary.AddTo(File);
            Random("token_embd.weight", 1, shape.Embedding, TinyVocabulary.Size);
            Norm(shape.OutputNorm, shape.Embedding);
            Scaled("output.weight", LogitScale, shape.Embedding, TinyVocabulary.Size);
        }

        public GgufWriter File { get; } = new();

        public void Attention(int layer)
        {
            string p = $"blk.{layer}.";
            int queries = _shape.Heads * _shape.HeadSize;
            int keys = _shape.KvHeads * _shape.HeadSize;
            Norm(p + "attn_norm.weight", _shape.Embedding);
            if (_shape.Fused)
            {
                float[] q = Gaussian(QueryScale, _shape.Embedding, queries);
                float[] k = Gaussian(QueryScale, _shape.Embedding, keys);
                float[] v = Gaussian(1, _shape.Embedding, keys);
                File.AddTensor(p + "attn_qkv.weight", [.. q, .. k, .. v], _shape.Embedding, queries + (2 * keys));
            }
            else
            {
                Scaled(p + "attn_q.weight", QueryScale, _shape.Embedding, queries);
                Scaled(p + "attn_k.weight", QueryScale, _shape.Embedding, keys);
                Matrix(p + "attn_v.weight", _shape.Embedding, keys);
            }

            if (_shape.Biases)
            {
                Random(p + "attn_q.bias", 0.3, queries);
                Random(p + "attn_k.bias", 0.3, keys);
                Random(p + "attn_v.bias", 0.3, keys);
            }

            if (_shape.HeadNorms)
            {
                Constant(p + "attn_q_norm.weight", QueryScale, _shape.HeadSize);
                Constant(p + "attn_k_norm.weight", QueryScale, _shape.HeadSize);
            }

            Scaled(p + "attn_output.weight", OutputScale, queries, _shape.Embedding);
        }

        public void FeedForward(int layer)
        {
            string p = $"blk.{layer}.";
            Norm(p + "ffn_norm.weight", _shape.Embedding);
            if (!_shape.FusedGate)
            {
                Matrix(p + "ffn_gate.weight", _shape.Embedding, _shape.FeedForward);
            }

            Matrix(p + "ffn_up.weight", _shape.Embedding, (_shape.FusedGate ? 2 : 1) * _shape.FeedForward);
            Matrix(p + "ffn_down.weight", _shape.FeedForward, _shape.Embedding);
        }

        public void Norm(string name, int width) => Constant(name, 1, width);

        public void Biased(string name, int width)
        {
            Norm(name + ".weight", width);
            Constant(name + ".bias", 0, width);
        }

        public void Constant(string name, double value, params int[] shape)
        {
            float[] data = new float[shape.Aggregate(1, (a, b) => a * b)];
            Array.Fill(data, (float)value);
            File.AddTensor(name, data, shape);
        }

        /// <summary>A matrix that turns an input of unit variance into an output of unit variance.</summary>
        public void Matrix(string name, params int[] shape) => File.AddTensor(name, Gaussian(1, shape), shape);

        private void Scaled(string name, double scale, params int[] shape) => File.AddTensor(name, Gaussian(scale, shape), shape);

        private void Random(string name, double deviation, params int[] shape) =>
            File.AddTensor(name, Gaussian(deviation * Math.Sqrt(shape[0]), shape), shape);

        private float[] Gaussian(double scale, params int[] shape)
        {
            float[] data = new float[shape.Aggregate(1, (a, b) => a * b)];
            double deviation = scale / Math.Sqrt(shape[0]);
            for (int i = 0; i < data.Length; i += 2)
            {
                // Box and Muller: two uniform numbers make two normal ones.
                double radius = deviation * Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble()));
                var (sin, cos) = Math.SinCos(2 * Math.PI * _random.NextDouble());
                data[i] = (float)(radius * cos);
                if (i + 1 < data.Length)
                {
                    data[i + 1] = (float)(radius * sin);
                }
            }

            return data;
        }
    }
}
