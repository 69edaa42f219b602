namespace EdgeKV.Evaluation;

/// <summary>Seconds from a document to the first token of an answer, by stage; means over samples.</summary>
/// <param name="Prefill">Reading the context.</param>
/// <param name="Score">Scoring, beyond the prefill.</param>
/// <param name="Plan">Planning.</param>
/// <param name="Apply">Rewriting the cache.</param>
/// <param name="Question">Feeding the question.</param>
public readonly record struct StageSeconds(double Prefill, double Score, double Plan, double Apply, double Question)
{
    /// <summary>Time to first token.</summary>
    public double FirstToken => Prefill + Score + Plan + Apply + Question;
}
