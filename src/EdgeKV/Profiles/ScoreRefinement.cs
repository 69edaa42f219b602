using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;

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

    // Heads that are worked on at one time: as many sums as stay in registers.
    private const int Tile = 8;

    private readonly int _heads;

    // [heads / Tile, inputs and bias, Tile], zero beyond the heads.
    private readonly float[] _tiles;

    private ScoreRefinement(int heads, ReadOnlySpan<float> weights)
    {
        _heads = heads;
        int rows = heads + ExtraInputs + 1;
        _tiles = new float[(heads + Tile - 1) / Tile * rows * Tile];
        for (int row = 0; row < rows; row++)
        {
            for (int head = 0; head < heads; head++)
            {
                _tiles[(head / Tile * rows + row) * Tile + head % Tile] = weights[row * heads + head];
            }
        }
    }

    /// <summary>Bytes of its weights.</summary>
    public long Bytes => (_heads + ExtraInputs + 1L) * _heads * sizeof(float);

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
            ? new ScoreRefinement(heads, array.Values.Span)
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
        int vectors = (count + Vector<float>.Count - 1) / Vector<float>.Count;
        int width = vectors * Vector<float>.Count;

        // Rows as long as whole vectors, so that a token's numbers do not depend on how many stand beside it.
        float[] rented = ArrayPool<float>.Shared.Rent((inputs + Tile) * width);
        Span<float> before = rented.AsSpan(0, inputs * width);
        Span<float> after = rented.AsSpan(inputs * width, Tile * width);
        for (int head = 0; head < _heads; head++)
        {
            Column(head).CopyTo(before[(head * width)..]);
        }

        for (int t = 0; t < count; t++)
        {
            before[_heads * width + t] = PositionInput(first + start + t);
        }

        for (int head = 0; head < _heads; head += Tile)
        {
            Multiply(
                MemoryMarshal.Cast<float, Vector<float>>(before),
                _tiles.AsSpan(head * (inputs + 1), (inputs + 1) * Tile),
                MemoryMarshal.Cast<float, Vector<float>>(after),
                vectors);
            for (int i = 0; i < Math.Min(Tile, _heads - head); i++)
            {
                after.Slice(i * width, count).CopyTo(Column(head + i));
            }
        }

        ArrayPool<float>.Shared.Return(rented);

        Span<float> Column(int head) => new(scores + (long)head * tokens + start, count);
    });

    // One tile's heads: before [inputs, vectors], weights [inputs and bias, Tile], after [Tile, vectors].
    private static void Multiply(ReadOnlySpan<Vector<float>> before, ReadOnlySpan<float> weights, Span<Vector<float>> after, int vectors)
    {
        ReadOnlySpan<float> bias = weights[^Tile..];
        for (int v = 0; v < vectors; v++)
        {
            Vector<float> s0 = new(bias[0]), s1 = new(bias[1]), s2 = new(bias[2]), s3 = new(bias[3]);
            Vector<float> s4 = new(bias[4]), s5 = new(bias[5]), s6 = new(bias[6]), s7 = new(bias[7]);
            ReadOnlySpan<float> rest = weights;
            for (int at = v; at < before.Length; at += vectors)
            {
                Vector<float> x = before[at];
                ReadOnlySpan<float> row = rest[..Tile];
                rest = rest[Tile..];
                s0 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[0]), s0);
                s1 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[1]), s1);
                s2 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[2]), s2);
                s3 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[3]), s3);
                s4 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[4]), s4);
                s5 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[5]), s5);
                s6 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[6]), s6);
                s7 = Vector.FusedMultiplyAdd(x, new Vector<float>(row[7]), s7);
            }

            after[v] = s0;
            after[vectors + v] = s1;
            after[2 * vectors + v] = s2;
            after[3 * vectors + v] = s3;
            after[4 * vectors + v] = s4;
            after[5 * vectors + v] = s5;
            after[6 * vectors + v] = s6;
            after[7 * vectors + v] = s7;
        }
    }
}
