using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>All policies by name: the one place where a new one is added.</summary>
public static class PolicyRegistry
{
    /// <summary>The policy taken where none is named.</summary>
    public const string Default = GlobalTopK.PolicyName;

    /// <summary>All policies, in the order in which help lists them.</summary>
    public static IReadOnlyList<PolicyEntry> Entries { get; } =
    [
        PolicyEntry.Of(
            GlobalTopK.PolicyName,
            () => new GlobalTopK(),
            new("One ranking over the whole model: by learned scores, corrected by a general question, or by a pass over the task set that is given", null, PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.If, Profile = PolicyTrait.If, QueryAware = PolicyTrait.If,
            },
            (policy, tasks) => policy with { Source = RowScore.Repeat, TaskSet = tasks }),
        PolicyEntry.Of(
            KVCompose.StructuredName,
            () => new KVCompose(),
            new("KVCompose, composite rows: layers differ, the heads of a layer keep equally many rows", "2509.05165", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            (policy, tasks) => policy with { TaskSet = tasks }),
        PolicyEntry.Of(
            KVCompose.UnstructuredName,
            () => new KVCompose { Structured = false },
            new("KVCompose, ragged rows: every head has its own count; better answers at high ratios", "2509.05165", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            },
            (policy, tasks) => policy with { TaskSet = tasks }),
        PolicyEntry.Of(
            KVzip.PolicyName,
            () => new KVzip(),
            new("Rows that the model attends to while it repeats the context: one ranking over the whole model", "2505.23416", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.Yes,
            }),
        PolicyEntry.Of(
            SnapKV.PolicyName,
            () => new SnapKV(),
            new("Rows that the last 64 queries attend to, smoothed, and the last 64", "2404.14469", PolicyRows.Equal) { QueryAware = PolicyTrait.If }),
        PolicyEntry.Of(
            PyramidKV.PolicyName,
            () => new PyramidKV(),
            new("SnapKV with budgets that fall from the first layer to the last", "2406.02069", PolicyRows.Equal) { QueryAware = PolicyTrait.If }),
        PolicyEntry.Of(
            CompressKV.PolicyName,
            () => new CompressKV(),
            new("Rows that four attention heads of each layer attend to, more where a layer needs them", "2508.02401", PolicyRows.SamePositions)
            {
                Profile = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            }),
        PolicyEntry.Of(
            SimLayerKV.PolicyName,
            () => new SimLayerKV(),
            new("Layers whose last query looks at little but first and last rows keep those, the others all", "2410.13846", PolicyRows.SamePositions)
            {
                QueryAware = PolicyTrait.If,
            }),
        PolicyEntry.Of(
            Finch.PolicyName,
            () => new Finch(),
            new("Rows that the question at the end of the context attends to", "2408.00167", PolicyRows.Equal) { QueryAware = PolicyTrait.Yes }),
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
            }),
        PolicyEntry.Of(
            ExpectedAttention.PolicyName,
            () => new ExpectedAttention(),
            new("Rows that the queries to be expected after the context would attend to, times the length of their values", "2510.00636", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes,
            }),
        PolicyEntry.Of(
            CapKV.PolicyName,
            () => new CapKV(),
            new("Rows whose values add most to what a head can give out to the queries to be expected", "2604.25975", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes,
            }),
        PolicyEntry.Of(
            Compactor.PolicyName,
            () => new Compactor(),
            new("Rows whose keys stand out from the others, and rows that their own block of the text attends to", "2507.08143", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.Yes,
            }),
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
            new("Rows whose keys and values spread most against the next 128 tokens", "2504.04704", PolicyRows.Equal)),
        PolicyEntry.Of(
            CurDKV.PolicyName,
            () => new CurDKV(),
            new("Rows with the longest keys and values among their neighbours", "2509.15038", PolicyRows.Equal)),
        PolicyEntry.Of(
            StreamingLLM.PolicyName,
            () => new StreamingLLM(),
            new("The first 4 rows and the last ones", "2309.17453", PolicyRows.SamePositions)),
        PolicyEntry.Of(
            DuoAttention.PolicyName,
            () => new DuoAttention(),
            new("Heads that need distant rows keep all, the others first and last rows", "2410.10819", PolicyRows.Ragged) { Profile = PolicyTrait.Yes }),
        PolicyEntry.Of(
            RazorAttention.PolicyName,
            () => new RazorAttention(),
            new("Retrieval heads keep all rows, the others first and last ones; no compensation row", "2407.15891", PolicyRows.Ragged)
            {
                Profile = PolicyTrait.Yes,
            }),
        PolicyEntry.Of(
            FastGen.PolicyName,
            () => new FastGen(),
            new("Each head keeps the smallest of five sets of rows that recovers its attention", "2310.01801", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.Yes, QueryAware = PolicyTrait.If,
            }),
        PolicyEntry.Of(
            RandomRows.PolicyName,
            () => new RandomRows(),
            new("Rows at random: the baseline", null, PolicyRows.Equal)),
        PolicyEntry.Of(
            AdaKV.PolicyName,
            () => new AdaKV(),
            new("Any scorer: the heads of a layer share its rows by their scores", "2407.11550", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            CriticalKV.PolicyName,
            () => new CriticalKV(),
            new("Any scorer: half of the rows by its scores, half by what their values add too", "2502.03805", PolicyRows.Equal)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            CriticalAdaKV.PolicyName,
            () => new CriticalAdaKV(),
            new("Any scorer: AdaKV's counts with CriticalKV's rows", "2502.03805", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            ChunkKV.PolicyName,
            () => new ChunkKV(),
            new("Any scorer: whole chunks of 20 tokens stay or go", "2502.00299", PolicyRows.SamePositions)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            RaggedRanking.PolicyName,
            () => new RaggedRanking(),
            new("Any scorer: one ranking over the whole model", null, PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            ScoreThreshold.PolicyName,
            () => new ScoreThreshold(),
            new("Any scorer: rows that reach a limit, so that the ratio follows the content", "2506.05345", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            LUKV.PolicyName,
            () => new LUKV(),
            new("Any scorer: each head's share of the budget from curves of the model", "2602.08585", PolicyRows.Ragged)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.Yes, QueryAware = PolicyTrait.AsScorer,
            }),
        PolicyEntry.Of(
            LayerBudgets.PolicyName,
            () => new LayerBudgets(),
            new("Counts of one policy, rows by the scores of another", null, PolicyRows.AsCounts)
            {
                ExtraPass = PolicyTrait.AsScorer, Profile = PolicyTrait.AsScorer, QueryAware = PolicyTrait.AsScorer,
            }),
    ];

    /// <summary>The entry of that name.</summary>
    /// <param name="name">One of <see cref="Entries"/>, in any case.</param>
    /// <exception cref="ArgumentException">There is no such policy; the message lists those there are.</exception>
    public static PolicyEntry Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Entries.FirstOrDefault(entry => string.Equals(entry.Name, name, StringComparison.OrdinalIgnoreCase))
            ?? throw new ArgumentException(
                $"There is no policy '{name}'; there are {string.Join(", ", Entries.Select(entry => entry.Name))}.", nameof(name));
    }

    /// <summary>Makes the policy of that name. Options by name: <see cref="PolicyOptions"/>.</summary>
    /// <param name="name">One of <see cref="Entries"/>, in any case.</param>
    /// <param name="budget">How much may stay.</param>
    /// <param name="taskSet">The tokens whose attention judges the context; null = the policy's own.</param>
    /// <exception cref="ArgumentException">There is no such policy, or it takes no task set.</exception>
    public static ICompressionPolicy Create(string name, Budget budget, TaskSet? taskSet = null)
    {
        ArgumentNullException.ThrowIfNull(budget);
        return Find(name).Create(budget, taskSet);
    }
}
