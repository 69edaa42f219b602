using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// What makes one score of a row's learned score y and of the largest attention p that a probe gave it: weight y + share ln(p + 1e-7) + offset, three
/// numbers for every KV head, found once per model. Immutable; compares by value.
/// </summary>
public sealed class ProbeCorrection : IEquatable<ProbeCorrection>
{
    /// <summary>Numbers of a KV head: what the learned score is multiplied by, what the probe's logarithm is, and what is added.</summary>
    public const int Terms = 3;

    // The array of a profile's table.
    internal const string Coefficients = "coefficients";

    // What the table says of the question it was found with.
    internal const string Question = "question";

    private readonly ReadOnlyMemory<float> _values;

    /// <summary>A correction that was found.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="values">Three of each KV head; not copied.</param>
    /// <exception cref="ArgumentException">The values do not fit the heads, or one is not a finite number.</exception>
    public ProbeCorrection(HeadLayout kvHeads, ReadOnlyMemory<float> values)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        if (values.Length != (long)kvHeads.Total * Terms)
        {
            throw new ArgumentException($"{values.Length} numbers are not {Terms} for each of {kvHeads} KV heads.", nameof(values));
        }

        if (!TensorPrimitives.IsFiniteAll(values.Span))
        {
            throw new ArgumentException("A correction is of finite numbers.", nameof(values));
        }

        KvHeads = kvHeads;
        _values = values;
    }

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <inheritdoc/>
    public bool Equals(ProbeCorrection? other) =>
        other is not null && KvHeads.Equals(other.KvHeads) && _values.Span.SequenceEqual(other._values.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as ProbeCorrection);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(KvHeads, _values.Span[0]);

    /// <summary>The correction that a profile's table holds.</summary>
    /// <exception cref="ProfileException">The table is another version's or of another question, or its numbers are not three for each KV head.</exception>
    internal static ProbeCorrection Of(ProfileTable table)
    {
        if (table.Provenance.GetValueOrDefault(Question) != ProbeTaskSet.Text)
        {
            throw new ProfileException(
                $"The profile's table {table.Name} is of another question than this version asks; make it again with `edgekv calibrate MODEL --for {table.Name}`.");
        }

        (HeadLayout kvHeads, ReadOnlyMemory<float> values) = table.ByHead(Coefficients, after: 1);
        try
        {
            return new ProbeCorrection(kvHeads, values);
        }
        catch (ArgumentException e)
        {
            throw new ProfileException($"The profile's table {table.Name} cannot be used: {e.Message}", e);
        }
    }

    /// <summary>Refuses a correction of another model.</summary>
    /// <param name="kvHeads">KV heads of each layer of the scores.</param>
    /// <param name="policy">Whose correction it is.</param>
    /// <exception cref="PlanException">It is another model's.</exception>
    internal void ThrowIfNotOf(HeadLayout kvHeads, string policy)
    {
        if (!KvHeads.Equals(kvHeads))
        {
            throw new PlanException(
                $"{policy} has a correction of {KvHeads} KV heads, but the scores are of {kvHeads}: give that of this model.");
        }
    }

    /// <summary>Turns one KV head's logarithms of the probe's attention into its scores.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <param name="learned">Learned scores, one for each row.</param>
    /// <param name="seen">Natural logarithms of the probe's attention, [rows]; takes the scores.</param>
    internal void Apply(int layer, int kvHead, ReadOnlySpan<float> learned, Span<float> seen)
    {
        ReadOnlySpan<float> own = _values.Span.Slice((KvHeads.First(layer) + kvHead) * Terms, Terms);
        TensorPrimitives.Multiply(seen, own[1], seen);
        TensorPrimitives.MultiplyAdd(learned, own[0], seen, seen);
        TensorPrimitives.Add(seen, own[2], seen);
    }
}
