namespace EdgeKV.Cli.Asking;

/// <summary>What the policy <c>global</c> can rank rows by, as <c>--score</c> names it.</summary>
internal static class ScoreNames
{
    /// <summary>Predicted while the document is read.</summary>
    public const string Learned = "learned";

    /// <summary>The attention of a pass in which the model repeats the document.</summary>
    public const string Repeat = "repeat";

    /// <summary>The two together.</summary>
    public const string Both = "both";

    /// <summary>Predicted, and corrected by what a general question looks at.</summary>
    public const string Probed = "probed";

    /// <summary>Whether such scores come from a profile.</summary>
    public static bool IsOfProfile(string? name) => name is Learned or Probed or Both;

    /// <summary>All names: those above, and the task sets whose attention can be taken too.</summary>
    public static IReadOnlyList<string> All { get; } = [Learned, Probed, Repeat, Both, .. TaskSets.Where(name => name != Repeat)];

    /// <summary>The task sets that have names.</summary>
    public static IReadOnlyList<string> TaskSets => ["context", Repeat, "question", "window"];
}
