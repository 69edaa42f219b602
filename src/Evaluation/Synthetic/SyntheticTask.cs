namespace EdgeKV.Evaluation;

/// <summary>A task that samples can be made for.</summary>
/// <param name="Name">RULER's name.</param>
/// <param name="Least">The least of what a sample is filled with (words, lines or sentences, as the task has it).</param>
/// <param name="Begin">
/// From the sample's name (all that is random follows from it), the length in tokens and the essay: what makes the text with so much of the filling. More filling changes
/// neither the question nor the answers.
/// </param>
internal sealed record SyntheticTask(string Name, int Least, Func<string, int, Haystack, Func<int, SyntheticText>> Begin)
{
    public static IReadOnlyList<SyntheticTask> All { get; } =
    [
        .. NeedleTask.All.Select(task => new SyntheticTask(task.Name, task.Least, (name, _, essay) => task.Begin(name, essay))),
        new("vt", VariableTracking.Least, (name, _, _) => VariableTracking.Begin(name)),
        new("cwe", CommonWords.Least, (name, length, _) => CommonWords.Begin(name, length)),
        new("fwe", FrequentWords.Least, (name, length, _) => FrequentWords.Begin(name, length)),
    ];
}
