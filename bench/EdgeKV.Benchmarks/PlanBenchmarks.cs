using BenchmarkDotNet.Attributes;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Benchmarks;

/// <summary>
/// Time and memory of the plan of every registered policy with its default options, for a model of eight thousand million parameters (Llama 3.1 8B) and
/// 32,768 tokens. The budget is ratio 0.8, except where rows follow from no budget. The first row is the baseline: it sorts every KV head with its
/// positions, and does nothing else.
/// </summary>
[MemoryDiagnoser]
public class PlanBenchmarks : IDisposable
{
    private const string Sort = "(sort every head)";

    private ICompressionPolicy? _policy;
    private AttentionScores? _scores;
    private float[] _keys = [];
    private int[] _positions = [];

    [ParamsSource(nameof(Policies))]
    public string Policy { get; set; } = Sort;

    /// <summary>The policies to time; none: all.</summary>
    public static IReadOnlyList<string> Chosen { get; set; } = [];

    public static IEnumerable<string> Policies => [Sort, .. Chosen.Count > 0 ? Chosen : PolicyRegistry.Entries.Select(entry => entry.Name)];

    [GlobalSetup]
    public void Setup()
    {
        _policy = Policy == Sort ? null : Complete(PolicyRegistry.Find(Policy).Create());
        _scores = DrawnScores.Of(_policy?.Request ?? new ScoreRequest(new Learned()));
        _keys = new float[DrawnScores.Tokens];
        _positions = new int[DrawnScores.Tokens];
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _scores?.Dispose();
        _scores = null;
        GC.SuppressFinalize(this);
    }

    [Benchmark]
    public object Plan() => _policy is null ? SortEveryHead() : _policy.Plan(_scores!);

    private float[] SortEveryHead()
    {
        for (int layer = 0; layer < _scores!.Layers; layer++)
        {
            for (int head = 0; head < _scores.KvHeads[layer]; head++)
            {
                _scores.Learned(layer, head).CopyTo(_keys);
                for (int i = 0; i < _positions.Length; i++)
                {
                    _positions[i] = i;
                }

                _keys.AsSpan().Sort(_positions.AsSpan());
            }
        }

        return _keys;
    }

    // What has to be given of a model; a policy without its line here is listed as one that failed.
    private static ICompressionPolicy Complete(ICompressionPolicy policy)
    {
        IEnumerable<int> layers = Enumerable.Range(0, DrawnScores.Layers);
        IEnumerable<int> heads = Enumerable.Range(0, DrawnScores.KvHeads);
        return policy switch
        {
            CompressKV given => given with
            {
                Calibration = new CompressKVCalibration(
                    new HeadsByLayer(layers.Select(_ => Enumerable.Range(0, 4))), layers.Select(_ => 1.0 / DrawnScores.Layers)),
            },
            DuoAttention given => given with { Gates = new DuoAttentionGates(layers.Select(layer => heads.Select(head => (layer + head) % 7 / 7.0))) },
            Finch given => given with { Window = 32 },
            LUKV given => given with
            {
                Curves = new LUKVCurves(
                    HeadLayout.Uniform(DrawnScores.Layers, DrawnScores.KvHeads),
                    [
                        new(LUKVCurves.AnyScorer, (float[])
                        [
                            .. from percent in Enumerable.Range(1, LUKVCurves.Ratios)
                               from list in Enumerable.Range(1, DrawnScores.Layers * DrawnScores.KvHeads)
                               select MathF.Pow(percent / 100f, 2f * list / (DrawnScores.Layers * DrawnScores.KvHeads)),
                        ]),
                    ]),
            },
            QFilters given => given with
            {
                Directions = new QueryDirections(
                    HeadLayout.Uniform(DrawnScores.Layers, DrawnScores.KvHeads), new float[DrawnScores.Layers * DrawnScores.KvHeads * DrawnScores.HeadSize]),
            },
            RazorAttention given => given with { Heads = new HeadsByLayer(layers.Select(layer => heads.Where(head => (layer + head) % 7 == 0))) },

            // Near the best fifth of what SnapKV gives the drawn attention.
            GlobalRanking { Name: GlobalRanking.ThresholdName } given => given with { Limit = 1.3 / DrawnScores.Tokens },
            _ => policy,
        };
    }
}
