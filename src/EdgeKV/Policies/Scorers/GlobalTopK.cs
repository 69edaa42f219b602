using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Keeps the best rows of all layers and KV heads together: one ranking over the whole model, ragged. Scores are absolute, so that a
/// <see cref="Threshold"/> works as well as a budget, and the plan for a smaller budget is part of the plan for a larger one.
/// </summary>
/// <remarks>
/// <para>
/// With KV head h of layer l and context token j, top(keep(layers * kvHeads * tokens)) of s[l, h, j]. <see cref="RowScore.Repeat"/>: s is
/// the largest attention that a task token gave j, mean over the attention heads that h serves; nothing is added or multiplied (after KVzip,
/// arXiv 2505.23416, which takes the largest over these heads too). <see cref="RowScore.Learned"/>: s is a linear prediction of
/// ln(repeat + 1e-7) from what the layer reads (after KVzap, arXiv 2601.07891, which was taught by KVzip). <see cref="RowScore.Both"/>:
/// ln(repeat + 1e-7) + learned. <see cref="RowScore.Probed"/>: a learned + b ln(probe + 1e-7) + c, probe being the largest attention that a token of
/// <see cref="TaskSet.Probe"/> gave j, mean over the group, and a, b and c a KV head's own (<see cref="Correction"/>). <see cref="Weight"/> multiplies
/// the attention in it, for logarithms by adding ln(weight + 1e-7).
/// </para>
/// <para>
/// Protected rows rank above all others and use up the budget: the first positions of all heads, then the most recent. Ties go to the lower
/// layer, then the lower KV head, then the earlier position. All of it is float32.
/// </para>
/// <para>Cost: some five passes over [layers, kvHeads, tokens] in parallel over layers, no sort. Memory: a key of 4 bytes for each of these
/// rows, rented, and the plan.</para>
/// </remarks>
public sealed record GlobalTopK : RowPolicy, IRowScorer, ICalibratedPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "global";

    // Attention sinks (arXiv 2309.17453) are too costly to lose for a prediction to decide.
    private const int DefaultSinks = 4;

    // A question's first tokens look at what stands right before them, and no text that a map is learned from is followed by one.
    private const int DefaultRecent = 4;

    // Keeps the logarithm of a weight that float32 rounded to zero finite.
    private const float Epsilon = 1e-7f;

    private static readonly Budget Unbounded = Budget.FromRatio(0);

    private static readonly Statistic OutputNormStatistic = new OutputNorms(NormKind.L2);

    // Null as long as nobody gave one: the default depends on another option, which may be set later.
    private readonly int? _protected;
    private readonly int? _recent;

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>What rows are ranked by. Default: learned scores, which <see cref="ByDefault"/> corrects where a model's profile allows it.</summary>
    public RowScore Source { get; init; } = RowScore.Learned;

    /// <summary>
    /// What <see cref="RowScore.Probed"/> makes of learned scores and the probe; other sources have no use for it. Has no default: it must be given, of the
    /// model that the context was read by, or come from its profile.
    /// </summary>
    public ProbeCorrection? Correction { get; init; }

    /// <summary>
    /// The tokens whose attention judges the context; learned scores alone have no use for it, and probed ones have their own. Default: the context
    /// repeated.
    /// </summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public TaskSet TaskSet
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(value));
    }

    = TaskSet.Repeat;

    /// <summary>What a row's attention is multiplied by. Thresholds that a profile has names for were found without. Default: nothing.</summary>
    public RowWeight Weight { get; init; }

    /// <summary>
    /// First positions that every KV head keeps before the rest is shared, 0 and up. Default: 0 for repeat scores, which see attention
    /// sinks themselves, 4 for all others. Where the budget is too small for them, lower layers and KV heads come first.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Protected
    {
        get => _protected ?? (Source == RowScore.Repeat ? 0 : DefaultSinks);
        init => _protected = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected first positions are 0 and up.");
    }

    /// <summary>
    /// Last positions that every KV head keeps too, 0 and up. Default: 0 for repeat scores, 4 for all others. Where the
    /// budget is too small for them, the first positions come before them, then the most recent position of all heads, then the one before it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get => _recent ?? (Source == RowScore.Repeat ? 0 : DefaultRecent);
        init => _recent = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected last positions are 0 and up.");
    }

    /// <summary>
    /// Keeps the rows whose score is at least this, so that the ratio follows the content; protected rows stay in any case. In natural
    /// logarithms of attention for every <see cref="Source"/>: repeat scores are compared as ln(s + 1e-7), and both together are a sum of
    /// two logarithms. Default: null, the budget alone decides. With a threshold the default budget is ratio 0, all that reaches it; where more
    /// rows reach it than a given <see cref="RowPolicy.Budget"/> allows, the best of them stay.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number.</exception>
    public double? Threshold
    {
        get;
        init => field = value is null || double.IsFinite(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A threshold is a finite number: a logarithm of attention.");
    }

    /// <inheritdoc/>
    public override ScoreRequest Request
    {
        get
        {
            CheckOptions();
            ScoreRequest attention = Source switch
            {
                RowScore.Learned => new ScoreRequest(new Learned()),
                RowScore.Repeat => new ScoreRequest(new TaskAttention(TaskSet, AttentionAggregate.Max)),
                RowScore.Probed => new ScoreRequest(Probe, new Learned()),
                _ => new ScoreRequest(new TaskAttention(TaskSet, AttentionAggregate.Max), new Learned()),
            };
            return Weight switch
            {
                RowWeight.ValueNorm => ScoreRequest.Union(attention, new ScoreRequest(new ValueNorms())),
                RowWeight.OutputNorm => ScoreRequest.Union(attention, new ScoreRequest(OutputNormStatistic)),
                _ => attention,
            };
        }
    }

    /// <inheritdoc/>
    public bool AreLogarithms => Source != RowScore.Repeat;

    /// <inheritdoc/>
    public bool SharesPositions => false;

    /// <summary>What <see cref="RowScore.Probed"/> sees of the probe.</summary>
    internal static Statistic Probe { get; } = new TaskAttention(TaskSet.Probe, AttentionAggregate.Max);

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Source == RowScore.Probed && Correction is null ? [PolicyName] : [];

    /// <summary>The key that rows must stay below to reach the threshold; null where there is none.</summary>
    internal uint? Limit => Threshold is { } threshold
        ? ScoreOrder.KeyAfter(Source == RowScore.Repeat ? Math.Exp(threshold) - Epsilon : threshold)
        : null;

    private ProbeCorrection Given => Correction ?? throw new ArgumentException(
        $"{Name} by probed scores needs a {nameof(Correction)}. `edgekv calibrate MODEL --for {PolicyName}` finds it for the model's profile.");

    private protected override Budget DefaultBudget => Threshold is null ? base.DefaultBudget : Unbounded;

    /// <inheritdoc/>
    public void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        if (Source == RowScore.Probed)
        {
            Given.ThrowIfNotOf(scores.Layers, scores.KvHeads, Name);
        }

        Statistic seen = Source == RowScore.Probed ? Probe : new TaskAttention(TaskSet, AttentionAggregate.Max);
        for (int head = 0; head < scores.KvHeads; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            if (Source == RowScore.Learned)
            {
                scores.Learned(layer, head).CopyTo(row);
            }
            else
            {
                scores.CopyGroupMean(seen, layer, head, row);
            }

            if (Source == RowScore.Both)
            {
                ToLogarithms(row);
                TensorPrimitives.Add(row, scores.Learned(layer, head), row);
            }
            else if (Source == RowScore.Probed)
            {
                ToLogarithms(row);
                Given.Apply(layer, head, scores.Learned(layer, head), row);
            }
        }

        if (Weight != RowWeight.None)
        {
            Weigh(scores, layer, destination);
        }
    }

    /// <summary>
    /// This policy with the source that is best where nobody chooses one: probed scores where the profile has their table and the question fits behind
    /// the context; learned scores where not, and where a threshold or a weight is set, as these were tried with them alone; without a profile the repeat pass.
    /// </summary>
    /// <param name="profile">The model's profile; null: none.</param>
    /// <param name="probeFits">Whether <c>EdgeModel.ProbeTokens</c> positions are left behind the context.</param>
    /// <exception cref="ProfileException">The profile's table cannot be used.</exception>
    public GlobalTopK ByDefault(ScoreProfile? profile, bool probeFits)
    {
        if (profile is null)
        {
            return this with { Source = RowScore.Repeat };
        }

        return probeFits && Threshold is null && Weight == RowWeight.None && profile.Tables.TryGetValue(PolicyName, out ProfileTable? table)
            ? this with { Source = RowScore.Probed, Correction = ProbeCorrection.Of(table) }
            : this with { Source = RowScore.Learned };
    }

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) => Source == RowScore.Probed && Correction is null
        ? this with { Correction = ProbeCorrection.Of(ICalibratedPolicy.Table(profile, PolicyName)) }
        : this;

    /// <inheritdoc/>
    public ProtectedRows Protect(int tokens, int rows) => new(Protected, Recent);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        long budget = Budget.RaggedRows(scores.Layers, scores.KvHeads, scores.Tokens, cost);
        using var ranked = RankedRows.Of(this, scores, 0);
        return ranked.PlanOverall(budget, Limit);
    }

    /// <summary>ln(s + 1e-7) in place of s.</summary>
    internal static void ToLogarithms(Span<float> row)
    {
        TensorPrimitives.Add(row, Epsilon, row);
        TensorPrimitives.Log<float>(row, row);
    }

    private void Weigh(AttentionScores scores, int layer, Span<float> destination)
    {
        float[] rented = ArrayPool<float>.Shared.Rent(scores.Tokens);
        Span<float> weights = rented.AsSpan(0, scores.Tokens);
        for (int head = 0; head < scores.KvHeads; head++)
        {
            if (Weight == RowWeight.ValueNorm)
            {
                scores.ValueNorms(layer, head).CopyTo(weights);
            }
            else
            {
                scores.CopyGroupMean(OutputNormStatistic, layer, head, weights);
            }

            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            if (AreLogarithms)
            {
                ToLogarithms(weights);
                TensorPrimitives.Add(row, weights, row);
            }
            else
            {
                TensorPrimitives.Multiply(row, weights, row);
            }
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    private void CheckOptions()
    {
        if (!Enum.IsDefined(Source))
        {
            throw new ArgumentException($"There is no row score {Source}.");
        }

        if (!Enum.IsDefined(Weight))
        {
            throw new ArgumentException($"There is no row weight {Weight}.");
        }

        if (Source == RowScore.Probed)
        {
            _ = Given;
            if (TaskSet != TaskSet.Repeat)
            {
                throw new ArgumentException($"Probed scores have a task set of their own; leave out the task set {TaskSet.Name}.");
            }
        }
    }
}
