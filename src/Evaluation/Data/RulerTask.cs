namespace EdgeKV.Evaluation;

/// <summary>What RULER says of a family of its tasks.</summary>
/// <param name="Name">What its tasks' names are or, before an underscore, begin with.</param>
/// <param name="Metric">How it is judged.</param>
/// <param name="NewTokens">Tokens of an answer.</param>
internal sealed record RulerTask(string Name, string Metric, int NewTokens)
{
    private static readonly RulerTask[] All =
    [
        new("niah", MetricNames.MatchAll, 128),
        new("vt", MetricNames.MatchAll, 30),
        new("cwe", MetricNames.MatchAll, 120),
        new("fwe", MetricNames.MatchAll, 50),
        new("qa", MetricNames.MatchAny, 32),
    ];

    /// <summary>For messages.</summary>
    public static string Names { get; } = string.Join(", ", All.Select(task => task.IsNeedle || task.Name == "qa" ? $"{task.Name}_*" : task.Name));

    public bool IsNeedle => Name == "niah";

    /// <summary>The family of a task; null: RULER has no such task.</summary>
    public static RulerTask? Find(string task) =>
        All.FirstOrDefault(family => task == family.Name || task.StartsWith(family.Name + "_", StringComparison.Ordinal));
}
