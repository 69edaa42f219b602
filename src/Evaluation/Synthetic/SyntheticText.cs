namespace EdgeKV.Evaluation;

/// <summary>A sample's text.</summary>
/// <param name="Context">Everything before the question.</param>
/// <param name="Question">The question.</param>
/// <param name="AnswerPrefix">How the answer begins.</param>
/// <param name="Answers">What is to be found.</param>
/// <param name="Depth">Where it lies, 0 to 1; null: in several places.</param>
internal sealed record SyntheticText(string Context, string Question, string AnswerPrefix, IReadOnlyList<string> Answers, double? Depth = null);
