namespace EdgeKV.Evaluation;

/// <summary>What <see cref="SyntheticData"/> makes.</summary>
public sealed record SyntheticOptions
{
    /// <summary>All tasks that there are: those of RULER's thirteen that need no data set of questions.</summary>
    public static IReadOnlyList<string> AllTasks { get; } = [.. SyntheticTask.All.Select(task => task.Name)];

    /// <summary>Tasks, of <see cref="AllTasks"/>. Default: all.</summary>
    public IReadOnlyList<string> Tasks { get; init; } = AllTasks;

    /// <summary>The most tokens of a sample, its answer's included. Default: 2048.</summary>
    public IReadOnlyList<int> Lengths { get; init; } = [2048];

    /// <summary>Tokens of each length that are left free, for a chat template's. Default: 0.</summary>
    public int ReservedTokens { get; init; }

    /// <summary>Samples per task and length, at least 1. Default: 20.</summary>
    public int Samples { get; init; } = 20;

    /// <summary>Another seed makes other samples. Default: 42.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>A text file that essay-like haystacks are made of; null: the text that comes with the program.</summary>
    public string? HaystackPath { get; init; }
}
