using System.Globalization;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>The policies whose plans are checked over random contexts. A new policy is listed here.</summary>
internal static class PolicyCases
{
    public static IReadOnlyList<PolicyCase> All { get; } =
    [
        // Rows are drawn by position and head: heads that change places do not take theirs with them.
        new("random", (random, _) => new RandomRows { Seed = random.Next() }) { Permutes = false },
        new("streaming-llm", (random, tokens) => new StreamingLLM { Sinks = random.Next(0, tokens + 1) }),
        new("knorm", (_, _) => new Knorm()),
        new("keydiff", (_, _) => new KeyDiff()),
        new("lagkv", (random, tokens) => new LagKV { Sinks = 0, Lag = random.Next(1, tokens / 2 + 1) }),
        new("lagkv with sinks", (random, tokens) => new LagKV { Sinks = random.Next(0, tokens), Lag = random.Next(1, tokens) }) { LooksAtEveryRow = false },
        new("curdkv", (random, tokens) => new CurDKV { Sinks = random.Next(0, tokens + 1), Window = random.Next(1, tokens + 1) }),
        new("capkv", (_, _) => new CapKV { Sinks = 0 }),
        new("capkv with sinks", (random, tokens) => new CapKV { Sinks = random.Next(0, tokens), Ahead = random.Next(1, 9) }),
        new("expected attention", (_, _) => new ExpectedAttention { Sinks = 0 }),
        new("expected attention with sinks", (random, tokens) => new ExpectedAttention { Sinks = random.Next(0, tokens), Ahead = random.Next(1, 9) }),

        // A larger ratio gives leverage more weight.
        new("compactor", (random, _) => new Compactor { Sinks = 0, Recent = 0, Seed = random.Next() }) { IsNested = false },
        new("compactor with a blend", (_, _) => new Compactor { Sinks = 0, Recent = 0, Blend = 0.35 }),
        new("compactor with sinks", (random, tokens) => new Compactor { Sinks = random.Next(0, tokens + 1), Recent = random.Next(0, tokens + 1) })
        {
            IsNested = false, LooksAtEveryRow = false,
        },
        new("ada over compactor", (random, _) => new AdaKV { Scorer = new Compactor { Sinks = 0, Recent = 0 }, Alpha = random.NextDouble() })
        {
            Rows = PolicyCase.ByLayer, IsRagged = true, IsNested = false,
        },
        new("q-filters", (_, _) => new QFilters()) { Fit = (policy, sizes) => (QFilters)policy with { Directions = Directions(sizes) } },
        new("tova", (_, _) => new Tova()),
        new("snapkv", (random, tokens) => Snap(random, tokens)),
        new("observed-attention", (_, _) => new ObservedAttention()),
        new("h2o", (random, _) => new H2O { Recent = random.Next(3) / 2.0 }),
        new("kvzip", (_, _) => new KVzip()) { Rows = KVzipRows, IsRagged = true },
        new("kvzip, layerwise", (_, _) => new KVzip { Layerwise = true }) { Rows = KVzipRows, IsRagged = true },
        new("pyramidkv", (random, tokens) => new PyramidKV { Window = random.Next(1, tokens), Beta = random.Next(1, 30) }) { Rows = null, IsNested = false },
        new("compresskv", (random, tokens) => new CompressKV { Window = random.Next(1, tokens) })
        {
            Fit = (policy, sizes) => (CompressKV)policy with { Calibration = Calibration(sizes) },
            IsNested = false,
            IsComposite = true,
        },
        new("finch", (random, tokens) => new Finch { Window = random.Next(1, Math.Min(tokens, 6)) }),

        // What is cut keeps no row, so that every budget can be met.
        new("simlayerkv", (_, _) => new SimLayerKV { Sinks = 0, Recent = 1 }) { Rows = null, LeastTokens = 3, SharesPositions = true },
        new("duo-attention", (_, _) => new DuoAttention { Sinks = 0, Recent = 0 })
        {
            Fit = (policy, sizes) => (DuoAttention)policy with { Gates = Gates(sizes) },
            Rows = null,
            IsRagged = true,
            Permutes = false,
        },

        // How many rows are safe, and how many of the others fit, changes with the budget in steps of their own. Where a ragged budget is too small
        // for protected rows, lower heads come first: then heads that change places do not take their rows with them.
        new("ada over snapkv", (random, tokens) => new AdaKV { Scorer = Snap(random, tokens), Alpha = random.NextDouble() })
        {
            Rows = PolicyCase.ByLayer, IsRagged = true, IsNested = false, Permutes = false,
        },
        new("ada over kvcompose", (random, _) => new AdaKV { Scorer = new KVCompose(), Alpha = random.NextDouble() })
        {
            Rows = PolicyCase.ByLayer, IsRagged = true, IsNested = false,
        },
        new("ada composed", (random, tokens) => new AdaKV { Scorer = Snap(random, tokens), Composed = true }) { FailsByScores = true, Rows = null, IsNested = false, Permutes = false },
        new("critical over snapkv", (random, tokens) => new CriticalKV { Scorer = Snap(random, tokens), FirstStage = random.NextDouble() }) { IsNested = false },
        new("critical ada over snapkv", (random, tokens) => new CriticalAdaKV { Scorer = Snap(random, tokens), Alpha = random.NextDouble() })
        {
            Rows = PolicyCase.ByLayer, IsRagged = true, IsNested = false, Permutes = false,
        },
        new("critical ada composed", (_, _) => new CriticalAdaKV { Scorer = new Knorm(), Composed = true }) { FailsByScores = true, Rows = null, IsNested = false },
        new("chunk over snapkv", (random, tokens) => new ChunkKV { Scorer = Snap(random, tokens), Length = random.Next(1, tokens) })
        {
            Rows = null, KeepsProtected = false, SharesPositions = true,
        },
        new("chunk over global", (random, tokens) => new ChunkKV { Scorer = new LearnedScorer(), Length = random.Next(1, tokens) })
        {
            Rows = null, KeepsProtected = false, SharesPositions = true,
        },
        new("ragged over knorm", (_, _) => Ragged(new Knorm())) { Rows = PolicyCase.Overall, IsRagged = true },
        new("ragged over snapkv", (random, tokens) => Ragged(Snap(random, tokens)))
        {
            Rows = PolicyCase.Overall, IsRagged = true, Permutes = false,
        },
        new("ragged over tova", (_, _) => Ragged(new Tova())) { Rows = PolicyCase.Overall, IsRagged = true, Permutes = false },

        // Floors grow by whole rows of all heads at once.
        new("ragged with floors", (random, tokens) => Ragged(Snap(random, tokens)) with { HeadFloor = random.NextDouble(), LayerFloor = random.NextDouble() })
        {
            Rows = PolicyCase.Overall, IsRagged = true, IsNested = false, Permutes = false,
        },

        // Of heads that lost equally many rows the lower gets what is left.
        new("ragged in multiples", (random, _) => Ragged(new Knorm()) with { RowMultiple = random.Next(1, 9) })
        {
            FailsByScores = true, Rows = null, IsRagged = true, IsNested = false, Permutes = false,
        },
        new("global by value norms", (random, _) => new GlobalRanking(new WeightedScorer(new LearnedScorer { Sinks = 0, Recent = 0 }, new ValueNorms()))) { Rows = PolicyCase.Overall, IsRagged = true },
        new("global by output norms", (random, _) => new GlobalRanking(new WeightedScorer(Both, new OutputNorms(NormKind.L2))))
        {
            Rows = PolicyCase.Overall, IsRagged = true,
        },
        new("ragged composed", (_, _) => Ragged(new Knorm()) with { Composed = true }) { FailsByScores = true, Rows = null },
        new("threshold", (random, _) => new GlobalRanking(new Knorm()) { RegisteredAs = GlobalRanking.ThresholdName, Limit = -random.Next(0, 400), Recent = random.Next(0, 9) })
        {
            Rows = null, IsRagged = true, Permutes = false,
        },
        new("layer budgets", (random, tokens) => new LayerBudgets { Counts = new KVCompose(), Scorer = Snap(random, tokens) })
        {
            Rows = (policy, scores) => long.Parse(policy.Budget.CompositeRows(scores.KvHeads, scores.Tokens).ToString().Split(' ')[0], CultureInfo.InvariantCulture),
            FailsByScores = true, IsComposite = true,
        },

        // Rounding decides which of two heads has a row more, and heads that change places leave their shares.
        new("lu-kv over knorm", (random, _) => new LUKV { Scorer = new Knorm(), Sinks = random.Next(0, 5), Recent = random.Next(0, 3) })
        {
            Fit = (policy, sizes) => (LUKV)policy with { Curves = Curves(sizes) }, Rows = PolicyCase.Overall, IsRagged = true, IsNested = false, Permutes = false,
        },
        new("lu-kv over tova", (_, _) => new LUKV { Scorer = new Tova() })
        {
            Fit = (policy, sizes) => (LUKV)policy with { Curves = Curves(sizes) }, Rows = PolicyCase.Overall, IsRagged = true, IsNested = false, Permutes = false,
        },
        new("lu-kv composed", (_, _) => new LUKV { Scorer = new Knorm(), Composed = true })
        {
            Fit = (policy, sizes) => (LUKV)policy with { Curves = Curves(sizes) }, FailsByScores = true, Rows = null, IsNested = false, Permutes = false,
        },
        new("layer budgets, ragged", (_, _) => new LayerBudgets { Counts = new GlobalRanking(new LearnedScorer()), Scorer = new Knorm() })
        {
            Rows = PolicyCase.Overall, IsRagged = true, Permutes = false,
        },
    ];

    private static SumScorer Both => new(new TaskScorer(), new LearnedScorer()) { Sinks = 0, Recent = 0 };

    // What goes is truncated, not what stays.
    private static long KVzipRows(ICompressionPolicy policy, AttentionScores scores)
    {
        long lists = (long)scores.KvHeads.Total;
        double ratio = policy.Budget.Ratio.GetValueOrDefault();
        return policy is KVzip { Layerwise: true }
            ? scores.Geometry.Layers.Sum(layer => layer.KvHeads * scores.Tokens - (int)(layer.KvHeads * scores.Tokens * ratio))
            : lists * scores.Tokens - (long)(lists * scores.Tokens * ratio);
    }

    // All heads of a layer judge; later layers get more rows.
    private static CompressKVCalibration Calibration(CacheGeometry sizes)
    {
        IEnumerable<int> layers = Enumerable.Range(1, sizes.Layers.Count);
        return new(new HeadsByLayer(sizes.Layers.Select(layer => Enumerable.Range(0, layer.Heads))), layers.Select(layer => (double)layer / layers.Sum()));
    }

    private static QueryDirections Directions(CacheGeometry sizes) => new(
        sizes.KvHeads, (float[])[.. Enumerable.Range(1, 4 * sizes.KvHeads.Total).Select(i => 1f / i)]);

    // Later heads lose more of their rows; together not what the ratio says.
    private static LUKVCurves Curves(CacheGeometry sizes) => new(
        sizes.KvHeads,
        [
            new(LUKVCurves.AnyScorer, (float[])
            [
                .. from percent in Enumerable.Range(1, LUKVCurves.Ratios)
                   from list in Enumerable.Range(1, sizes.KvHeads.Total)
                   select (float)Math.Pow(percent / 100.0, 1.0 / list),
            ]),
        ]);

    private static DuoAttentionGates Gates(CacheGeometry sizes) => new(Enumerable.Range(0, sizes.Layers.Count).Select(
        layer => Enumerable.Range(0, sizes.KvHeads[layer]).Select(head => (layer + head) % 3 / 2.0).ToArray()));

    private static GlobalRanking Ragged(IRowScorer scorer) => new(scorer) { RegisteredAs = GlobalRanking.RaggedName };

    private static SnapKV Snap(Random random, int tokens) => new() { Window = random.Next(1, tokens), Kernel = 1 + 2 * random.Next(4) };
}
