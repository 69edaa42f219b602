using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>Seconds as they were measured, every list in the order of its rounds, and what they amount to.</summary>
internal sealed class BenchTurns
{
    private readonly int _depth;

    /// <param name="depth">Tokens of the context.</param>
    /// <param name="ratios">Caches beside the full one.</param>
    public BenchTurns(int depth, int ratios)
    {
        _depth = depth;
        Compact = [.. Enumerable.Range(0, ratios).Select(_ => new Cell())];
    }

    /// <summary>A prefill without learned scores.</summary>
    public List<double> Prefill { get; } = [];

    /// <summary>One with them, in the same rounds; empty where there is no profile.</summary>
    public List<double> LearnedPrefill { get; } = [];

    /// <summary>Scoring as the policy asks for it.</summary>
    public List<double> Score { get; } = [];

    /// <summary>A repeat pass, in the first rounds.</summary>
    public List<double> Pass { get; } = [];

    /// <summary>To the first token, over the full cache.</summary>
    public List<double> FirstToken { get; } = [];

    /// <summary>A decode step over the full cache.</summary>
    public List<double> Full { get; } = [];

    /// <summary>A decode step over an empty cache, in the same rounds.</summary>
    public List<double> Empty { get; } = [];

    /// <summary>The compact caches, in the order of the ratios.</summary>
    public IReadOnlyList<Cell> Compact { get; }

    /// <summary>The figures.</summary>
    /// <param name="type">Element type of the cache.</param>
    /// <param name="weightBytes">Bytes of the model's tensors.</param>
    /// <param name="passTokens">Tokens of a repeat pass.</param>
    /// <param name="full">Sizes of the full cache.</param>
    /// <param name="compact">Sizes of the compact ones.</param>
    public BenchSeries Sum(KvCacheType type, long weightBytes, int passTokens, FullSizes full, IReadOnlyList<CompactSizes> compact)
    {
        bool learned = LearnedPrefill.Count > 0;
        return new BenchSeries
        {
            Depth = _depth,
            CacheType = type,
            Prefill = Rate(Prefill, _depth),
            LearnedPrefill = learned ? Rate(LearnedPrefill, _depth) : null,
            LearnedSeconds = learned ? Measured.Pairs(LearnedPrefill, Prefill, (with, without) => with - without) : null,
            LearnedOverPrefill = learned ? Measured.Pairs(LearnedPrefill, Prefill, (with, without) => with / without) : null,
            PassTokens = Pass.Count > 0 ? passTokens : 0,
            PassSeconds = Pass.Count > 0 ? Measured.Of(Pass) : null,
            ScoreSeconds = Measured.Of(Score),
            Full = new BenchBaseline
            {
                Rows = full.Rows,
                RowBytes = full.RowBytes,
                BufferBytes = full.BufferBytes,
                FirstToken = Measured.Of(FirstToken),
                Decode = Rate(Full, 1),
                EmptyDecode = Rate(Empty, 1),
            },
            Cells = [.. Compact.Zip(compact, (cell, sizes) => Sum(cell, sizes, full, weightBytes))],
        };
    }

    private BenchCell Sum(Cell cell, CompactSizes sizes, FullSizes full, long weightBytes)
    {
        double kept = (double)sizes.Rows / full.Rows;
        double[] ideal = [.. Full.Zip(Empty, (all, none) => none + kept * (all - none))];
        double byBytes = (double)(weightBytes + full.RowBytes) / (weightBytes + sizes.RowBytes);
        return new BenchCell
        {
            Ratio = sizes.Ratio,
            RatioAchieved = 1 - kept,
            Rows = sizes.Rows,
            RowBytes = sizes.RowBytes,
            BufferBytes = sizes.BufferBytes,
            ResidentBefore = sizes.ResidentBefore,
            ResidentAfter = sizes.ResidentAfter,
            PlanSeconds = Measured.Of(cell.Plan),
            ApplySeconds = Measured.Of(cell.Apply),
            FirstToken = Measured.Of(cell.FirstToken),
            FirstTokenOverFull = Measured.Pairs(cell.FirstToken, FirstToken, (here, there) => here / there),
            Decode = Rate(cell.Step, 1),
            SpeedUp = Measured.Pairs(Full, cell.Step, (there, here) => there / here),
            IdealByTime = Measured.Pairs(Full, ideal, (there, best) => there / best),
            OfIdealByTime = Measured.Pairs(ideal, cell.Step, (best, here) => best / here),
            IdealByBytes = byBytes,
            OfIdealByBytes = Measured.Pairs(Full, cell.Step, (there, here) => there / here / byBytes),
        };
    }

    private static Measured Rate(List<double> seconds, int tokens) => Measured.Of(seconds.Select(one => tokens / one));

    /// <summary>One compact cache.</summary>
    internal sealed class Cell
    {
        /// <summary>Planning.</summary>
        public List<double> Plan { get; } = [];

        /// <summary>Rewriting the cache.</summary>
        public List<double> Apply { get; } = [];

        /// <summary>To the first token.</summary>
        public List<double> FirstToken { get; } = [];

        /// <summary>A decode step.</summary>
        public List<double> Step { get; } = [];
    }

    /// <summary>Sizes of a full cache: see <see cref="BenchBaseline"/>.</summary>
    internal sealed record FullSizes(long Rows, long RowBytes, long BufferBytes);

    /// <summary>Sizes of a compact cache: see <see cref="BenchCell"/>.</summary>
    internal sealed record CompactSizes(double Ratio, long Rows, long RowBytes, long BufferBytes, long ResidentBefore, long ResidentAfter);
}
