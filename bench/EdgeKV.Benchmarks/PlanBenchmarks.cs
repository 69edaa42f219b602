using BenchmarkDotNet.Attributes;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Benchmarks;

/// <summary>Time and memory of a plan at ratio 0.8. The baseline sorts every KV head with its positions, and does nothing else.</summary>
[MemoryDiagnoser]
public class PlanBenchmarks : IDisposable
{
    private AttentionScores? _scores;
    private float[] _keys = [];
    private int[] _positions = [];

    private static readonly Compactor CompactorPolicy = new() { Ratio = 0.8 };

    private static readonly Statistic ContextMaxima = new TaskAttention(TaskSet.Context, AttentionAggregate.Max);

    /// <summary>The models: the bundled one, and one of eight thousand million parameters.</summary>
    [ParamsSource(nameof(Shapes))]
    public Shape Shape { get; set; } = new("", 1, 1, 1, 1);

    public static IEnumerable<Shape> Shapes =>
    [
        new("SmolLM2 135M, 4096", 30, 9, 3, 4096),
        new("Llama 3.1 8B, 32768", 32, 32, 8, 32768),
    ];

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        float[] max = new float[Shape.Layers * Shape.Heads * Shape.Tokens];
        for (int i = 0; i < max.Length; i++)
        {
            // Attention-like: most weights tiny, a few large.
            max[i] = MathF.Pow(random.NextSingle(), 8);
        }

        float[] learned = new float[Shape.Layers * Shape.KvHeads * Shape.Tokens];
        for (int i = 0; i < learned.Length; i++)
        {
            // Logarithms of such weights.
            learned[i] = 8 * MathF.Log(random.NextSingle() + 1e-7f);
        }

        _scores = new AttentionScores(
            Shape.Layers,
            Shape.Heads,
            Shape.KvHeads,
            Shape.Tokens,
            [
                new(ContextMaxima, new StatisticValues(ScoreBuffer.FromMemory(max), Shape.Tokens)),
                new(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max), new StatisticValues(ScoreBuffer.FromMemory(max), Shape.Tokens)),
                new(new Learned(), new StatisticValues(ScoreBuffer.FromMemory(learned))),

                // Any numbers do: a plan takes as long over these as over those of a model.
                .. CompactorPolicy.Request.Statistics.Select(statistic => KeyValuePair.Create(
                    statistic, new StatisticValues(ScoreBuffer.FromMemory(statistic.IsPerAttentionHead ? max : max.AsMemory(0, learned.Length))))),
            ]);
        _keys = new float[Shape.Tokens];
        _positions = new int[Shape.Tokens];
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _scores?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark(Baseline = true)]
    public float SortEveryHead()
    {
        float least = 0;
        for (int layer = 0; layer < Shape.Layers; layer++)
        {
            for (int head = 0; head < Shape.KvHeads; head++)
            {
                _scores!.Values(ContextMaxima, layer, head).CopyTo(_keys);
                for (int i = 0; i < _positions.Length; i++)
                {
                    _positions[i] = i;
                }

                _keys.AsSpan().Sort(_positions.AsSpan());
                least += _keys[0];
            }
        }

        return least;
    }

    [Benchmark]
    public CompressionPlan Structured() => new KVCompose { Ratio = 0.8 }.Plan(_scores!);

    [Benchmark]
    public CompressionPlan Unstructured() => new KVCompose { Ratio = 0.8, Structured = false }.Plan(_scores!);

    [Benchmark]
    public CompressionPlan Learned() => new GlobalTopK { Ratio = 0.8 }.Plan(_scores!);

    [Benchmark]
    public CompressionPlan Repeat() => new GlobalTopK { Ratio = 0.8, Source = RowScore.Repeat }.Plan(_scores!);

    [Benchmark]
    public CompressionPlan Compactor() => CompactorPolicy.Plan(_scores!);

    [Benchmark]
    public CompressionPlan Both() => new GlobalTopK { Ratio = 0.8, Source = RowScore.Both }.Plan(_scores!);
}
