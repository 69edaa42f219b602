using EdgeKV.Numerics;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Scores rows by a learned + b ln(probe + 1e-7) + c, probe being the largest attention that a token of <see cref="TaskSet.Probe"/> gave a row, mean over the
/// attention heads that a KV head serves, and a, b and c a KV head's own. Costs a pass of some forty tokens, however long the context is.
/// </summary>
/// <remarks>Protects the first 4 and the last 4 positions unless told otherwise.</remarks>
public sealed record ProbedScorer : AttentionScorer, ICalibratedPolicy
{
    /// <summary>The name of the table in a model's profile that holds the correction.</summary>
    public const string TableName = "global";

    /// <summary>Learned scores with a correction, which has to be given.</summary>
    public ProbedScorer()
        : base(PredictedSinks, PredictedRecent)
    {
    }

    /// <summary>The numbers a, b and c. Has no default: it must be given, of the model that the context was read by, or come from its profile.</summary>
    public ProbeCorrection? Correction { get; init; }

    /// <inheritdoc/>
    public override string Name => "probed";

    /// <inheritdoc/>
    public override ScoreRequest Request
    {
        get
        {
            _ = Given;
            return new ScoreRequest(Probe, new Learned());
        }
    }

    /// <inheritdoc/>
    public override bool AreLogarithms => true;

    /// <summary>What is seen of the probe.</summary>
    internal static Statistic Probe { get; } = new TaskAttention(TaskSet.Probe, AttentionAggregate.Max);

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Correction is null ? [TableName] : [];

    private ProbeCorrection Given => Correction ?? throw new ArgumentException(
        $"Probed scores need a {nameof(Correction)}. `edgekv calibrate MODEL --for {TableName}` finds it for the model's profile.");

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        ProbeCorrection correction = Given;
        correction.ThrowIfNotOf(scores.KvHeads, Name);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            scores.CopyGroupMean(Probe, layer, head, row);
            AttentionLogarithm.Of(row);
            correction.Apply(layer, head, scores.Learned(layer, head), row);
        }
    }

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) => Correction is null
        ? this with { Correction = ProbeCorrection.Of(ICalibratedPolicy.Table(profile, TableName)) }
        : this;
}
