using System.Globalization;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// What share of its rows every KV head of a model loses at each of 99 compression ratios, by the scorer that chooses the rows (LU-KV, arXiv 2602.08585).
/// Immutable; compares by value.
/// </summary>
public sealed class LUKVCurves : IEquatable<LUKVCurves>
{
    /// <summary>The curve of scorers that have none of their own: of rows that go in the order of what their loss costs.</summary>
    public const string AnyScorer = "any scorer";

    /// <summary>Ratios of a curve: 1 % to 99 %.</summary>
    public const int Ratios = 99;

    private readonly SortedDictionary<string, float[]> _removed;

    /// <summary>Copies and checks curves.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="removed">
    /// By a scorer's name, or <see cref="AnyScorer"/>, which must be there: shares removed, [99, KV heads of all layers], 0 to 1; a head's share never falls
    /// from one ratio to the next.
    /// </param>
    /// <exception cref="ArgumentException">
    /// There is no curve for any scorer, or a curve has another size, a share out of its range, or one that falls.
    /// </exception>
    public LUKVCurves(HeadLayout kvHeads, IEnumerable<KeyValuePair<string, ReadOnlyMemory<float>>> removed)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        ArgumentNullException.ThrowIfNull(removed);
        KvHeads = kvHeads;
        _removed = new SortedDictionary<string, float[]>(
            removed.ToDictionary(curve => curve.Key, curve => curve.Value.ToArray(), StringComparer.Ordinal), StringComparer.Ordinal);
        if (!_removed.ContainsKey(AnyScorer))
        {
            throw new ArgumentException($"There is no curve for '{AnyScorer}'.", nameof(removed));
        }

        foreach ((string scorer, float[] curve) in _removed)
        {
            Check(scorer, curve);
        }
    }

    /// <summary>Layers.</summary>
    public int Layers => KvHeads.Layers;

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>What there are curves for: names of scorers, and <see cref="AnyScorer"/>.</summary>
    public IReadOnlyCollection<string> Scorers => _removed.Keys;

    private int Lists => KvHeads.Total;

    /// <summary>The curves that a profile's table holds.</summary>
    /// <param name="table">An array for each scorer, by its name: 99 numbers of each KV head, those of one ratio after those of another.</param>
    /// <exception cref="ProfileException">It is no such table.</exception>
    internal static LUKVCurves Of(ProfileTable table)
    {
        (HeadLayout kvHeads, _) = table.ByHead(AnyScorer, before: 1);
        try
        {
            return new LUKVCurves(kvHeads, table.Arrays.Where(ProfileTable.IsOfHeads).Select(array => KeyValuePair.Create(array.Name, array.Values)));
        }
        catch (ArgumentException e)
        {
            throw new ProfileException($"The profile's table {table.Name} cannot be used: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public bool Equals(LUKVCurves? other) =>
        other is not null
        && KvHeads.Equals(other.KvHeads)
        && _removed.Keys.SequenceEqual(other._removed.Keys)
        && _removed.All(curve => curve.Value.AsSpan().SequenceEqual(other._removed[curve.Key]));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as LUKVCurves);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(KvHeads);
        foreach ((string scorer, float[] curve) in _removed)
        {
            hash.Add(scorer);
            foreach (float share in curve)
            {
                hash.Add(share);
            }
        }

        return hash.ToHashCode();
    }

    /// <summary>For example "curves of 30 layers x 3 KV heads".</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"curves of {KvHeads} KV heads");

    /// <summary>Writes what share of its rows every KV head keeps: on the straight line between two ratios.</summary>
    /// <param name="scorer">The scorer's name; one without a curve of its own gets that of any scorer.</param>
    /// <param name="ratio">The share of all rows that goes, 0 to 1.</param>
    /// <param name="kept">Takes the shares.</param>
    internal void CopyKept(string scorer, double ratio, Span<double> kept)
    {
        float[] removed = _removed.GetValueOrDefault(scorer) ?? _removed[AnyScorer];
        double percent = ratio * (Ratios + 1);
        int before = Math.Min((int)percent, Ratios);
        for (int list = 0; list < kept.Length; list++)
        {
            kept[list] = 1 - double.Lerp(At(before, list), At(before + 1, list), percent - before);
        }

        double At(int percent, int list) => percent switch
        {
            0 => 0,
            > Ratios => 1,
            _ => removed[(percent - 1) * Lists + list],
        };
    }

    /// <summary>Refuses curves of another model.</summary>
    /// <param name="kvHeads">The model's KV heads of each layer.</param>
    /// <param name="policy">Whose curves they are, for the message.</param>
    /// <exception cref="PlanException">They are of another number of layers or heads.</exception>
    internal void ThrowIfNotOf(HeadLayout kvHeads, string policy)
    {
        if (!KvHeads.Equals(kvHeads))
        {
            throw new PlanException($"{policy} has {this}, but the scores are of {kvHeads} KV heads: give those of this model.");
        }
    }

    private void Check(string scorer, float[] curve)
    {
        if (curve.Length != (long)Ratios * Lists)
        {
            throw new ArgumentException($"The curve for '{scorer}' has {curve.Length} shares; {KvHeads} KV heads at {Ratios} ratios need {(long)Ratios * Lists}.");
        }

        for (int i = 0; i < curve.Length; i++)
        {
            if (!(curve[i] is >= 0 and <= 1) || (i >= Lists && curve[i] < curve[i - Lists]))
            {
                (int layer, int head) = KvHeads.At(i % Lists);
                throw new ArgumentException(
                    $"The curve for '{scorer}' has {curve[i]} for layer {layer}, KV head {head} at {1 + i / Lists} %: a share removed is 0 to 1 and never falls.");
            }
        }
    }
}
