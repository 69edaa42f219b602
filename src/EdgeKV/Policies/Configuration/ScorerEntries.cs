using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;

namespace EdgeKV.Policies.Configuration;

/// <summary>The policies that score rows, in the order in which help lists them. A new one is added here.</summary>
internal static class ScorerEntries
{
    private static readonly PolicySetting<KVCompose>[] KVComposeSettings =
    [
        Setting.Flag<KVCompose>("structured", policy => policy.Structured, (policy, value) => policy with { Structured = value }),
        Setting.Tasks<KVCompose>("task-set", policy => policy.TaskSet, (policy, value) => policy with { TaskSet = value }),
        Setting.Word<KVCompose, TaskAggregate>("aggregate", policy => policy.Aggregate, (policy, value) => policy with { Aggregate = value }),
        Setting.Flag<KVCompose>("value-norm", policy => policy.ValueNorm, (policy, value) => policy with { ValueNorm = value }),
        Setting.Flag<KVCompose>("stabilize", policy => policy.Stabilize, (policy, value) => policy with { Stabilize = value }),
        Setting.Word<KVCompose, CompositeScore>("composite", policy => policy.Composite, (policy, value) => policy with { Composite = value }),
        Setting.Whole<KVCompose>("lower-bound", policy => policy.LowerBound, (policy, value) => policy with { LowerBound = value }),
        Setting.Flag<KVCompose>("first-layer-largest", policy => policy.FirstLayerLargest, (policy, value) => policy with { FirstLayerLargest = value }),
        Setting.Whole<KVCompose>("row-multiple", policy => policy.RowMultiple, (policy, value) => policy with { RowMultiple = value }),
    ];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<PolicyEntry> All { get; } =
    [
        PolicyEntry.Of(
            GlobalRanking.PolicyName,
            () => new GlobalSettings(),
            new("One ranking over the whole model: by learned scores, corrected by a general question, or by a pass over the task set that is given", null, PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.If, Profile = PolicyTrait.If, QueryAware = PolicyTrait.If,
            },
            [
                Setting.Word<GlobalSettings, RowScore>("source", options => options.Source, (options, value) => options with { Source = value }),
                Setting.Tasks<GlobalSettings>("task-set", options => options.TaskSet, (options, value) => options with { TaskSet = value }),
                Setting.Word<GlobalSettings, RowWeight>("weight", options => options.Weight, (options, value) => options with { Weight = value }),
                Setting.Whole<GlobalSettings>("protected", options => options.Protected, (options, value) => options with { Protected = value }),
                Setting.Whole<GlobalSettings>("recent", options => options.Recent, (options, value) => options with { Recent = value }),
                Setting.Number<GlobalSettings>("threshold", options => options.Threshold, (options, value) => options with { Threshold = value }),
            ],
            options => options.ToPolicy(),
            options => options.ToScorer(),
            (options, tasks) => options with { TaskSet = tasks }),
        PolicyEntry.Of(
            KVCompose.StructuredName,
            () => new KVCompose(),
            new("KVCompose, composite rows: layers differ, the heads of a layer keep equally many rows", "2509.05165", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            KVComposeSettings,
            (policy, tasks) => policy with { TaskSet = tasks }),
        PolicyEntry.Of(
            KVCompose.UnstructuredName,
            () => new KVCompose { Structured = false },
            new("KVCompose, ragged rows: every head has its own count; better answers at high ratios", "2509.05165", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            KVComposeSettings,
            (policy, tasks) => policy with { TaskSet = tasks }),
        PolicyEntry.Of(
            KVzip.PolicyName,
            () => new KVzip(),
            new("Rows that the model attends to while it repeats the context: one ranking over the whole model", "2505.23416", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.Yes,
            },
            [
                Setting.Whole<KVzip>("chunk", policy => policy.Chunk, (policy, value) => policy with { Chunk = value }),
                Setting.Whole<KVzip>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Flag<KVzip>("layerwise", policy => policy.Layerwise, (policy, value) => policy with { Layerwise = value }),
            ]),
        PolicyEntry.Of(
            SnapKV.PolicyName,
            () => new SnapKV(),
            new("Rows that the last 64 queries attend to, smoothed, and the last 64", "2404.14469", PolicyRows.Equal) { QueryAware = PolicyTrait.If },
            [
                Setting.Whole<SnapKV>("window", policy => policy.Window, (policy, value) => policy with { Window = value }),
                Setting.Whole<SnapKV>("kernel", policy => policy.Kernel, (policy, value) => policy with { Kernel = value }),
            ]),
        PolicyEntry.Of(
            CompressKV.PolicyName,
            () => new CompressKV(),
            new("Rows that four attention heads of each layer attend to, more where a layer needs them", "2508.02401", PolicyRows.SamePositions)
            {
                Profile = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            [
                Setting.Whole<CompressKV>("window", policy => policy.Window, (policy, value) => policy with { Window = value }),
                Setting.Whole<CompressKV>("kernel", policy => policy.Kernel, (policy, value) => policy with { Kernel = value }),
            ]),
        PolicyEntry.Of(
            Finch.PolicyName,
            () => new Finch(),
            new("Rows that the question at the end of the context attends to", "2408.00167", PolicyRows.Equal) { QueryAware = PolicyTrait.Yes },
            [
                Setting.Whole<Finch>("window", policy => policy.Window, (policy, value) => policy with { Window = value }),
            ]),
        PolicyEntry.Of(
            Tova.PolicyName,
            () => new Tova(),
            new("Rows that the last query attends to, mean over all heads", "2401.06104", PolicyRows.SamePositions) { QueryAware = PolicyTrait.If }),
        PolicyEntry.Of(
            ObservedAttention.PolicyName,
            () => new ObservedAttention(),
            new("Rows by the mean attention of all queries that see them", "2306.14048", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            }),
        PolicyEntry.Of(
            H2O.PolicyName,
            () => new H2O(),
            new("Heavy hitters by the attention of all queries, and as many recent rows", "2306.14048", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            [
                Setting.Number<H2O>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
            ]),
        PolicyEntry.Of(
            ExpectedAttention.PolicyName,
            () => new ExpectedAttention(),
            new("Rows that the queries to be expected after the context would attend to, times the length of their values", "2510.00636", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes,
            },
            [
                Setting.Whole<ExpectedAttention>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<ExpectedAttention>("ahead", policy => policy.Ahead, (policy, value) => policy with { Ahead = value }),
                Setting.Number<ExpectedAttention>("epsilon", policy => policy.Epsilon, (policy, value) => policy with { Epsilon = value }),
            ]),
        PolicyEntry.Of(
            CapKV.PolicyName,
            () => new CapKV(),
            new("Rows whose values add most to what a head can give out to the queries to be expected", "2604.25975", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes,
            },
            [
                Setting.Whole<CapKV>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Number<CapKV>("sharpness", policy => policy.Sharpness, (policy, value) => policy with { Sharpness = value }),
                Setting.Whole<CapKV>("ahead", policy => policy.Ahead, (policy, value) => policy with { Ahead = value }),
            ]),
        PolicyEntry.Of(
            Compactor.PolicyName,
            () => new Compactor(),
            new("Rows whose keys stand out from the others, and rows that their own block of the text attends to", "2507.08143", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes,
            },
            [
                Setting.Whole<Compactor>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<Compactor>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value }),
                Setting.Whole<Compactor>("block", policy => policy.Block, (policy, value) => policy with { Block = value }),
                Setting.Whole<Compactor>("sketch", policy => policy.Sketch, (policy, value) => policy with { Sketch = value }),
                Setting.Whole<Compactor>("seed", policy => policy.Seed, (policy, value) => policy with { Seed = value }),
                Setting.Number<Compactor>("blend", policy => policy.Blend, (policy, value) => policy with { Blend = value }),
            ]),
        PolicyEntry.Of(
            Knorm.PolicyName,
            () => new Knorm(),
            new("Rows with the shortest keys", "2406.11430", PolicyRows.Equal)),
        PolicyEntry.Of(
            KeyDiff.PolicyName,
            () => new KeyDiff(),
            new("Rows whose keys are least like the others", "2504.15364", PolicyRows.Equal)),
        PolicyEntry.Of(
            QFilters.PolicyName,
            () => new QFilters(),
            new("Rows whose keys lie along the main direction of their head's queries", "2503.02812", PolicyRows.Equal) { Profile = PolicyTrait.Yes }),
        PolicyEntry.Of(
            LagKV.PolicyName,
            () => new LagKV(),
            new("Rows whose keys and values spread most against the next 128 tokens", "2504.04704", PolicyRows.Equal),
            [
                Setting.Whole<LagKV>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<LagKV>("lag", policy => policy.Lag, (policy, value) => policy with { Lag = value }),
            ]),
        PolicyEntry.Of(
            CurDKV.PolicyName,
            () => new CurDKV(),
            new("Rows with the longest keys and values among their neighbours", "2509.15038", PolicyRows.Equal),
            [
                Setting.Whole<CurDKV>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
                Setting.Whole<CurDKV>("window", policy => policy.Window, (policy, value) => policy with { Window = value }),
            ]),
        PolicyEntry.Of(
            StreamingLLM.PolicyName,
            () => new StreamingLLM(),
            new("The first 4 rows and the last ones", "2309.17453", PolicyRows.SamePositions),
            [
                Setting.Whole<StreamingLLM>("sinks", policy => policy.Sinks, (policy, value) => policy with { Sinks = value }),
            ]),
        PolicyEntry.Of(
            RandomRows.PolicyName,
            () => new RandomRows(),
            new("Rows at random: the baseline", null, PolicyRows.Equal),
            [
                Setting.Whole<RandomRows>("seed", policy => policy.Seed, (policy, value) => policy with { Seed = value }),
            ]),
    ];
}
