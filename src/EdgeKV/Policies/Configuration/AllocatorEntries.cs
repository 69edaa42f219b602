using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;

namespace EdgeKV.Policies.Configuration;

/// <summary>The policies that share a budget among layers and KV heads, in the order in which help lists them. A new one is added here.</summary>
internal static class AllocatorEntries
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<PolicyEntry> All { get; } =
    [
        PolicyEntry.Of(
            PyramidKV.PolicyName,
            () => new PyramidKV(),
            new("SnapKV with budgets that fall from the first layer to the last", "2406.02069", PolicyRows.Equal) { QueryAware = PolicyTrait.If },
            [
                Setting.Whole<PyramidKV>("window", policy => policy.Window, (policy, value) => policy with { Window = value }),
                Setting.Whole<PyramidKV>("kernel", policy => policy.Kernel, (policy, value) => policy with { Kernel = value }),
                Setting.Number<PyramidKV>("beta", policy => policy.Beta, (policy, value) => policy with { Beta = value }),
            ]),
        PolicyEntry.Of(
            SimLayerKV.PolicyName,
            () => new SimLayerKV(),
            new("Layers whose last query looks at little but first and last rows keep those, the others all", "2410.13846", PolicyRows.SamePositions)
            {
                QueryAware = PolicyTrait.If,
            },
            [
                Setting.Number<SimLayerKV>("threshold", policy => policy.Threshold, (policy, value) => policy with { Threshold = value }),
                Setting.Whole<SimLayerKV>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<SimLayerKV>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
            ]),
        PolicyEntry.Of(
            DuoAttention.PolicyName,
            () => new DuoAttention(),
            new("Heads that need distant rows keep all, the others first and last rows", "2410.10819", PolicyRows.Ragged) { Profile = PolicyTrait.Yes },
            [
                Setting.File<DuoAttention>("gates", policy => policy.Gates?.ToString(), (policy, file) => policy with { Gates = DuoAttentionGates.Load(file) }),
                Setting.Number<DuoAttention>("streaming-share", policy => policy.StreamingShare, (policy, value) => policy with { StreamingShare = value }),
                Setting.Whole<DuoAttention>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<DuoAttention>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
            ]),
        PolicyEntry.Of(
            RazorAttention.PolicyName,
            () => new RazorAttention(),
            new("Retrieval heads keep all rows, the others first and last ones; no compensation row", "2407.15891", PolicyRows.Ragged)
            {
                Profile = PolicyTrait.Yes,
            },
            [
                Setting.Whole<RazorAttention>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<RazorAttention>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
                Setting.Whole<RazorAttention>("recent-divisor", policy => policy.RecentDivisor, (policy, value) => policy with { RecentDivisor = value }),
            ]),
        PolicyEntry.Of(
            FastGen.PolicyName,
            () => new FastGen(),
            new("Each head keeps the smallest of five sets of rows that recovers its attention", "2310.01801", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            [
                Setting.Number<FastGen>("recovery", policy => policy.Recovery, (policy, value) => policy with { Recovery = value }),
                Setting.Number<FastGen>("best", policy => policy.Best, (policy, value) => policy with { Best = value }),
                Setting.Number<FastGen>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
                Setting.Whole<FastGen>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
            ]),
        PolicyEntry.Of(
            AdaKV.PolicyName,
            () => new AdaKV(),
            new("Any scorer: the heads of a layer share its rows by their scores", "2407.11550", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Number<AdaKV>("alpha", policy => policy.Alpha, (policy, value) => policy with { Alpha = value }),
                Setting.Flag<AdaKV>("composed", policy => policy.Composed, (policy, value) => policy with { Composed = value }),
                Setting.Scorer<AdaKV>("scorer", SnapKV.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            CriticalKV.PolicyName,
            () => new CriticalKV(),
            new("Any scorer: half of the rows by its scores, half by what their values add too", "2502.03805", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Number<CriticalKV>("first-stage", policy => policy.FirstStage, (policy, value) => policy with { FirstStage = value }),
                Setting.Scorer<CriticalKV>("scorer", SnapKV.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            CriticalAdaKV.PolicyName,
            () => new CriticalAdaKV(),
            new("Any scorer: AdaKV's counts with CriticalKV's rows", "2502.03805", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Number<CriticalAdaKV>("alpha", policy => policy.Alpha, (policy, value) => policy with { Alpha = value }),
                Setting.Number<CriticalAdaKV>("first-stage", policy => policy.FirstStage, (policy, value) => policy with { FirstStage = value }),
                Setting.Flag<CriticalAdaKV>("composed", policy => policy.Composed, (policy, value) => policy with { Composed = value }),
                Setting.Scorer<CriticalAdaKV>("scorer", SnapKV.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            ChunkKV.PolicyName,
            () => new ChunkKV(),
            new("Any scorer: whole chunks of 20 tokens stay or go", "2502.00299", PolicyRows.SamePositions)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Whole<ChunkKV>("length", policy => policy.Length, (policy, value) => policy with { Length = value }),
                Setting.Scorer<ChunkKV>("scorer", SnapKV.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            GlobalRanking.RaggedName,
            () => new GlobalRanking(new SnapKV()) { RegisteredAs = GlobalRanking.RaggedName },
            new("Any scorer: one ranking over the whole model", null, PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Number<GlobalRanking>("head-floor", policy => policy.HeadFloor, (policy, value) => policy with { HeadFloor = value }),
                Setting.Number<GlobalRanking>("layer-floor", policy => policy.LayerFloor, (policy, value) => policy with { LayerFloor = value }),
                Setting.Whole<GlobalRanking>("row-multiple", policy => policy.RowMultiple, (policy, value) => policy with { RowMultiple = value }),
                Setting.Flag<GlobalRanking>("composed", policy => policy.Composed, (policy, value) => policy with { Composed = value }),
                Setting.Scorer<GlobalRanking>("scorer", SnapKV.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            GlobalRanking.ThresholdName,
            () => new GlobalRanking(new LearnedScorer()) { RegisteredAs = GlobalRanking.ThresholdName, Recent = 128 },
            new("Any scorer: rows that reach a limit, so that the ratio follows the content", "2506.05345", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Number<GlobalRanking>("limit", policy => policy.Limit, (policy, value) => policy with { Limit = value }),
                Setting.Whole<GlobalRanking>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
                Setting.Flag<GlobalRanking>("composed", policy => policy.Composed, (policy, value) => policy with { Composed = value }),
                Setting.Scorer<GlobalRanking>("scorer", GlobalRanking.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            LUKV.PolicyName,
            () => new LUKV(),
            new("Any scorer: each head's share of the budget from curves of the model", "2602.08585", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.Yes, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Whole<LUKV>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<LUKV>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
                Setting.Flag<LUKV>("composed", policy => policy.Composed, (policy, value) => policy with { Composed = value }),
                Setting.Scorer<LUKV>("scorer", ExpectedAttention.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
        PolicyEntry.Of(
            LayerBudgets.PolicyName,
            () => new LayerBudgets(),
            new("Counts of one policy, rows by the scores of another", null, PolicyRows.AsCounts)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            },
            [
                Setting.Policy<LayerBudgets>("counts", policy => policy.Counts, (policy, value) => policy with { Counts = value }),
                Setting.Scorer<LayerBudgets>("scorer", SnapKV.PolicyName, (policy, value) => policy with { Scorer = value }),
            ]),
    ];
}
