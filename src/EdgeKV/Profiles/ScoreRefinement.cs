using System.Buffers;
using System.Numerics.Tensors;

namespace EdgeKV;

/// <summary>
/// The second step of learned scores. A layer's own map knows that layer alone; this one predicts every head's score once more from what all layers'
/// maps say of the token: y' = A y + c min(p, 1000) / 1000 + b, with y the scores of the KV heads of all layers and p the token's position. Immutable.
/// </summary>
/// <remarks>Why, and what else was tried: docs/learned-scores.md. A profile holds it as a table and may be without.</remarks>
internal sealed class ScoreRefinement
{
    /// <summary>The name of the table in a <see cref="ScoreProfile"/>.</summary>
    public const string TableName = "refinement";

    /// <summary>What a token is described by beside its scores: its position.</summary>
    public const int ExtraInputs = 1;

    private const string ArrayName = "weights";
    private const int LongestPosition = 1000;

    // Tokens of all heads that are worked on at one time stay in the second-level cache up to some hundred heads.
    private const int Block = 256;

    private readonly int _heads;
    private readonly ReadOnlyMemory<float> _weights;

    private ScoreRefinement(int heads, ReadOnlyMemory<float> weights)
    {
        _heads = heads;
        _weights = weights;
    }

    /// <summary>Bytes of its weights.</summary>
    public long Bytes => (long)_weights.Length * sizeof(float);

    /// <summary>The refinement that a profile's tables have.</summary>
    /// <param name="tables">A profile's tables by name.</param>
    /// <param name="heads">KV heads of all layers.</param>
    /// <param name="path">The profile's file, for errors; null: none.</param>
    /// <returns>Null where there is none.</returns>
    /// <exception cref="ProfileException">It is not of this size.</exception>
    public static ScoreRefinement? Of(IReadOnlyDictionary<string, ProfileTable> tables, int heads, string? path)
    {
        if (!tables.TryGetValue(TableName, out ProfileTable? table))
        {
            return null;
        }

        return table.Arrays is [{ Name: ArrayName, Shape: [int inputs, int outputs] } array] && inputs == heads + ExtraInputs + 1 && outputs == heads
            ? new ScoreRefinement(heads, array.Values)
            : throw new ProfileException(
                $"The profile{(path is null ? string.Empty : $" {path}")} has a table '{TableName}' that does not fit {heads} KV heads. "
                + "Make one anew with `edgekv calibrate MODEL`.");
    }

    /// <summary>The table that a profile holds.</summary>
    /// <param name="weights">[heads + 2, heads]: from each head's score, from the position, and the bias.</param>
    /// <param name="heads">KV heads of all layers.</param>
    /// <param name="provenance">Where it comes from.</param>
    public static ProfileTable Table(float[] weights, int heads, IReadOnlyDictionary<string, string> provenance) =>
        new(TableName, [new ProfileArray(ArrayName, [heads + ExtraInputs + 1, heads], weights)], provenance);

    /// <summary>What the position of a token gives to a product, 0 to 1: texts that are learned from are hardly longer.</summary>
    public static float PositionInput(int position) => (float)Math.Min(position, LongestPosition) / LongestPosition;

    /// <summary>Replaces scores of the first step by those of the second.</summary>
    /// <param name="scores">[heads, tokens].</param>
    /// <param name="tokens">Tokens, one after another.</param>
    /// <param name="first">Position of the first one in the document.</param>
    public unsafe void Apply(float* scores, int tokens, int first) => Parallel.For(0, (tokens + Block - 1) / Block, block =>
    {
        int start = block * Block;
        int count = Math.Min(Block, tokens - start);
        int inputs = _heads + ExtraInputs;
        float[] before = ArrayPool<float>.Shared.Rent(inputs * count);
        for (int head = 0; head < _heads; head++)
        {
            Column(head).CopyTo(before.AsSpan(head * count, count));
        }

        for (int t = 0; t < count; t++)
        {
            before[_heads * count + t] = PositionInput(first + start + t);
        }

        ReadOnlySpan<float> weights = _weights.Span;
        for (int head = 0; head < _heads; head++)
        {
            Span<float> sums = Column(head);
            sums.Fill(weights[inputs * _heads + head]);
            for (int input = 0; input < inputs; input++)
            {
                TensorPrimitives.MultiplyAdd(before.AsSpan(input * count, count), weights[input * _heads + head], sums, sums);
            }
        }

        ArrayPool<float>.Shared.Return(before);

        Span<float> Column(int head) => new(scores + (long)head * tokens + start, count);
    });
}
