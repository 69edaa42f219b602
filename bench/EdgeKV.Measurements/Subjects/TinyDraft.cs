namespace EdgeKV.Measurements.Subjects;

/// <summary>A file under way: metadata and the tensors that all share come first, then layer by layer.</summary>
internal sealed class TinyDraft
{
    // Root mean square of a query's and a key's elements; their product is the standard deviation of attention's logits.
    private const double QueryScale = 1.45;
    private const double OutputScale = 1.5;
    private const double LogitScale = 2.5;

    private readonly TinyShape _shape;
    private readonly Random _random;

    public TinyDraft(TinyShape shape)
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
            if (shape.HeadsByLayer is { } queryHeads)
            {
                File.Add($"{a}.attention.head_count", queryHeads);
            }
            else
            {
                File.Add($"{a}.attention.head_count", (uint)shape.Heads);
            }

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
        if (shape.TiedOutput)
        {
            // Small beside what attention adds: otherwise every token would be its own successor, whatever attention says.
            const double Deviation = 0.1;
            Random("token_embd.weight", Deviation, shape.Embedding, TinyVocabulary.Size);
            Constant(shape.OutputNorm, LogitScale / (Deviation * Math.Sqrt(shape.Embedding)), shape.Embedding);
        }
        else
        {
            Random("token_embd.weight", 1, shape.Embedding, TinyVocabulary.Size);
            Norm(shape.OutputNorm, shape.Embedding);
            Scaled("output.weight", LogitScale, shape.Embedding, TinyVocabulary.Size);
        }
    }

    public GgufWriter File { get; } = new();

    public void Attention(int layer)
    {
        string p = $"blk.{layer}.";
        int queries = (_shape.HeadsByLayer?[layer] ?? _shape.Heads) * _shape.HeadSize;
        int keys = (_shape.KvHeadsByLayer?[layer] ?? _shape.KvHeads) * _shape.HeadSize;
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

    /// <summary>A mixture of experts with one expert that every token goes through.</summary>
    /// <param name="layer">The layer, 0-based.</param>
    /// <param name="experts">Experts that tokens are sent to.</param>
    /// <param name="width">Width of each expert's hidden layer.</param>
    public void Experts(int layer, int experts, int width)
    {
        string p = $"blk.{layer}.";
        Norm(p + "ffn_norm.weight", _shape.Embedding);
        Matrix(p + "ffn_gate_inp.weight", _shape.Embedding, experts);
        Random(p + "exp_probs_b.bias", 0.1, experts);
        Matrix(p + "ffn_gate_exps.weight", _shape.Embedding, width, experts);
        Matrix(p + "ffn_up_exps.weight", _shape.Embedding, width, experts);
        Matrix(p + "ffn_down_exps.weight", width, _shape.Embedding, experts);
        Matrix(p + "ffn_gate_shexp.weight", _shape.Embedding, width);
        Matrix(p + "ffn_up_shexp.weight", _shape.Embedding, width);
        Matrix(p + "ffn_down_shexp.weight", width, _shape.Embedding);
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
