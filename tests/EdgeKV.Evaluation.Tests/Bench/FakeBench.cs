using EdgeKV.Models;

namespace EdgeKV.Evaluation.Tests.Bench;

/// <summary>A bench whose seconds are made up.</summary>
internal static class FakeBench
{
    /// <summary>Prefills of 10 s, 11 s with learned scores; a step of 20 ms, 5 ms over an empty cache; half of 1000 rows kept and 10 ms a step.</summary>
    public static BenchSeries Series(double step = 0.01, int rounds = 3, bool learned = true)
    {
        BenchTurns turns = new(depth: 1000, ratios: 1);
        for (int i = 0; i < rounds; i++)
        {
            turns.Prefill.Add(10);
            turns.Score.Add(0.5);
            turns.FirstToken.Add(11);
            turns.Full.Add(0.02);
            turns.Empty.Add(0.005);
            turns.Compact[0].Plan.Add(0.1);
            turns.Compact[0].Apply.Add(0.2);
            turns.Compact[0].FirstToken.Add(12.1);
            turns.Compact[0].Step.Add(step);
            if (learned)
            {
                turns.LearnedPrefill.Add(11);
            }
        }

        return turns.Sum(
            KvCacheType.Q8_0,
            weightBytes: 4000,
            passTokens: 1010,
            new BenchTurns.FullSizes(1000, 2000, 3000),
            [new BenchTurns.CompactSizes(0.5, 500, 1000, 1500, 90_000, 88_500)]);
    }

    public static BenchReport Report(BenchSeries series) => new()
    {
        Version = BenchReport.CurrentVersion,
        EdgeKV = "0.1.0",
        LlamaCpp = "b10068",
        Machine = new Machine("Abacus", 2, "None", ".NET"),
        Load = 0.5,
        Model = new BenchModel("a.gguf", "llama", "0123456789abcdef", 4000, 2, 1),
        Text = "Ärger.txt",
        TextSha256 = "ff",
        Options = new BenchOptions { Depths = [1000], Ratios = [0.5], CacheTypes = [KvCacheType.Q8_0], Policy = "global" },
        Scores = "learned",
        Started = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
        Ended = new DateTimeOffset(2026, 1, 2, 3, 5, 5, TimeSpan.Zero),
        Series = [series],
    };
}
