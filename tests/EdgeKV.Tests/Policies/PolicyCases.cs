using EdgeKV.Policies;

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
        new("capkv with sinks", (random, tokens) => new CapKV { Sinks = random.Next(0, tokens), Ahead = random.Next(1, 9) }) { LooksAtEveryRow = false },
        new("expected attention", (_, _) => new ExpectedAttention { Sinks = 0 }),
        new("expected attention with sinks", (random, tokens) => new ExpectedAttention { Sinks = random.Next(0, tokens), Ahead = random.Next(1, 9) })
        {
            LooksAtEveryRow = false,
        },
        new("tova", (_, _) => new Tova()),
        new("snapkv", (random, tokens) => Snap(random, tokens)),
        new("observed-attention", (_, _) => new ObservedAttention()),
        new("h2o", (random, _) => new H2O { Recent = random.Next(3) / 2.0 }),
        new("pyramidkv", (random, tokens) => new PyramidKV { Window = random.Next(1, tokens), Beta = random.Next(1, 30) }) { Rows = null, IsNested = false },

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
        new("ada composed", (random, tokens) => new AdaKV { Scorer = Snap(random, tokens), Composed = true }) { Rows = null, IsNested = false, Permutes = false },
        new("chunk over snapkv", (random, tokens) => new ChunkKV { Scorer = Snap(random, tokens), Length = random.Next(1, tokens) })
        {
            Rows = null, KeepsProtected = false, SharesPositions = true,
        },
        new("chunk over global", (random, tokens) => new ChunkKV { Scorer = new GlobalTopK(), Length = random.Next(1, tokens) })
        {
            Rows = null, KeepsProtected = false, SharesPositions = true,
        },
        new("ragged over knorm", (_, _) => new RaggedRanking { Scorer = new Knorm() }) { Rows = PolicyCase.Overall, IsRagged = true },
        new("ragged over snapkv", (random, tokens) => new RaggedRanking { Scorer = Snap(random, tokens) })
        {
            Rows = PolicyCase.Overall, IsRagged = true, Permutes = false,
        },
        new("ragged over tova", (_, _) => new RaggedRanking { Scorer = new Tova() }) { Rows = PolicyCase.Overall, IsRagged = true, Permutes = false },
        new("ragged composed", (_, _) => new RaggedRanking { Scorer = new Knorm(), Composed = true }) { Rows = null },
        new("threshold", (random, _) => new ScoreThreshold { Scorer = new Knorm(), Limit = -random.Next(0, 400), Recent = random.Next(0, 9) })
        {
            Rows = null, IsRagged = true, Permutes = false,
        },
        new("layer budgets", (random, tokens) => new LayerBudgets { Counts = new KVCompose(), Scorer = Snap(random, tokens) })
        {
            Rows = (policy, scores) => policy.Budget.CompositeRows(scores.Layers, scores.KvHeads, scores.Tokens) * scores.KvHeads,
        },
        new("layer budgets, ragged", (_, _) => new LayerBudgets { Counts = new GlobalTopK(), Scorer = new Knorm() })
        {
            Rows = PolicyCase.Overall, IsRagged = true, Permutes = false,
        },
    ];

    private static SnapKV Snap(Random random, int tokens) => new() { Window = random.Next(1, tokens), Kernel = 1 + 2 * random.Next(4) };
}
