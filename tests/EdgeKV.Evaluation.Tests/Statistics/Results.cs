namespace EdgeKV.Evaluation.Tests.Statistics;

/// <summary>Results to work figures out from, with what a test does not name filled in.</summary>
internal static class Results
{
    public static RunManifest Manifest(params string[] policies) => new()
    {
        Version = RunManifest.CurrentVersion,
        EdgeKV = "0.1.0",
        LlamaCpp = "b1",
        Model = "m.gguf",
        ModelDescription = "tiny",
        ModelSha256 = "00",
        Layers = 2,
        KvHeads = 2,
        CacheType = "f16",
        Threads = 1,
        Datasets = ["d"],
        Policies = policies,
        Ratios = [],
        Rows = [],
        Samples = 9,
        Seed = 1,
        QueryAware = false,
        Command = "edgekv eval",
        Machine = "one",
        Started = DateTimeOffset.UnixEpoch,
    };

    public static CellResult Cell(string task, int id, string policy, double? ratio, double score, int? rows = null) => new()
    {
        Dataset = "d",
        Task = task,
        Id = $"{id}",
        Policy = policy,
        Ratio = ratio,
        Rows = rows,
        RatioAchieved = ratio ?? 0,
        ContextTokens = 100,
        Metric = MetricNames.MatchAll,
        Score = score,
        FullBytes = 1000,
        Bytes = (long)(1000 * (1 - (ratio ?? 0))),
        PeakPositions = 100,
        LayerRows = policy == CellResult.FullCache ? [] : [100, 20],
        PrefillSeconds = 1,
        ScoreSeconds = 0.5,
        PlanSeconds = 0.25,
        ApplySeconds = 0.125,
        QuestionSeconds = 0.0625,
        AnswerTokens = 10,
        DecodeSeconds = 2,
    };

    /// <summary>A task's samples in one column, one score each.</summary>
    public static IEnumerable<CellResult> Column(string task, string policy, double? ratio, params double[] scores) =>
        scores.Select((score, id) => Cell(task, id, policy, ratio, score));
}
