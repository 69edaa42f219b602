using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Scores as they are given, and nothing protected: the reference's scores rank its protected rows themselves.</summary>
/// <param name="Values">[layers, kvHeads, tokens].</param>
public sealed record GivenScores(float[] Values) : ScoredPolicy
{
    public override string Name => "given";

    public override ScoreRequest Request => ScoreRequest.None;

    public override void Score(AttentionScores scores, int layer, Span<float> destination) =>
        Values.AsSpan(layer * destination.Length, destination.Length).CopyTo(destination);
}
