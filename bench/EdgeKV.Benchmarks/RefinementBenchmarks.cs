using BenchmarkDotNet.Attributes;

namespace EdgeKV.Benchmarks;

/// <summary>Time and memory of learned scores' second step, for the sizes of <see cref="DrawnScores"/>: once per document, before it is planned.</summary>
[MemoryDiagnoser]
public class RefinementBenchmarks
{
    private const int Heads = DrawnScores.Layers * DrawnScores.KvHeads;

    private readonly float[] _scores = new float[Heads * DrawnScores.Tokens];
    private ScoreRefinement? _refinement;

    [GlobalSetup]
    public void Setup()
    {
        // Every score stays what it is, so that no number runs away however often it is called.
        float[] weights = new float[(Heads + ScoreRefinement.ExtraInputs + 1) * Heads];
        for (int head = 0; head < Heads; head++)
        {
            weights[head * Heads + head] = 1;
        }

        Array.Fill(_scores, -8);
        ProfileTable table = ScoreRefinement.Table(weights, Heads, new Dictionary<string, string>());
        _refinement = ScoreRefinement.Of(new Dictionary<string, ProfileTable> { [table.Name] = table }, Heads, path: null);
    }

    [Benchmark]
    public unsafe void Apply()
    {
        fixed (float* scores = _scores)
        {
            _refinement!.Apply(scores, DrawnScores.Tokens, first: 0);
        }
    }
}
