using System.Numerics.Tensors;

namespace EdgeKV.Scoring;

/// <summary>
/// What a score pass saw: per layer and attention head the attention that each context token got; per layer and KV head norms, and what the
/// prefill let predict of that attention.
/// Float32, read-only, safe for many readers at once; spans are valid until it is disposed.
/// </summary>
public sealed class AttentionScores : IDisposable
{
    private readonly ScoreBuffer? _max;
    private readonly ScoreBuffer? _sum;
    private readonly ScoreBuffer? _keyNorms;
    private readonly ScoreBuffer? _valueNorms;
    private readonly ScoreBuffer? _learned;
    private bool _disposed;

    /// <summary>Takes over the given buffers: they are disposed with the scores.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="heads">Attention heads of a layer, a multiple of <paramref name="kvHeads"/>.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="tokens">Context tokens, 1 and up.</param>
    /// <param name="queries">Task tokens that were aggregated, 0 and up; what turns a sum into a mean.</param>
    /// <param name="max">Largest weight over the task tokens, [layers, heads, tokens]; null when not asked for.</param>
    /// <param name="sum">Sum of the weights over the task tokens, [layers, heads, tokens]; null when not asked for.</param>
    /// <param name="keyNorms">L2 norms of the keys, [layers, kvHeads, tokens]; null when not asked for.</param>
    /// <param name="valueNorms">L2 norms of the values, [layers, kvHeads, tokens]; null when not asked for.</param>
    /// <param name="learned">Predicted logarithms of attention, [layers, kvHeads, tokens]; null when not asked for.</param>
    /// <exception cref="ArgumentException">A size is out of its range, or a buffer's length does not fit the sizes.</exception>
    public AttentionScores(
        int layers,
        int heads,
        int kvHeads,
        int tokens,
        long queries,
        ScoreBuffer? max = null,
        ScoreBuffer? sum = null,
        ScoreBuffer? keyNorms = null,
        ScoreBuffer? valueNorms = null,
        ScoreBuffer? learned = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(layers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(heads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(kvHeads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(queries);
        if (heads % kvHeads != 0)
        {
            throw new ArgumentException($"{heads} attention heads cannot share {kvHeads} KV heads: not a multiple.", nameof(heads));
        }

        if (sum is not null && queries == 0)
        {
            throw new ArgumentException("Sums over no query have no mean.", nameof(queries));
        }

        Layers = layers;
        Heads = heads;
        KvHeads = kvHeads;
        Tokens = tokens;
        Queries = queries;
        _max = Checked(max, heads, nameof(max));
        _sum = Checked(sum, heads, nameof(sum));
        _keyNorms = Checked(keyNorms, kvHeads, nameof(keyNorms));
        _valueNorms = Checked(valueNorms, kvHeads, nameof(valueNorms));
        _learned = Checked(learned, kvHeads, nameof(learned));
    }

    /// <summary>Layers.</summary>
    public int Layers { get; }

    /// <summary>Attention heads of a layer.</summary>
    public int Heads { get; }

    /// <summary>KV heads of a layer.</summary>
    public int KvHeads { get; }

    /// <summary>Attention heads that share a KV head: KV head h serves attention heads h * GroupSize and the GroupSize - 1 after it.</summary>
    public int GroupSize => Heads / KvHeads;

    /// <summary>Context tokens, at positions 0 to Tokens - 1.</summary>
    public int Tokens { get; }

    /// <summary>Task tokens that were aggregated.</summary>
    public long Queries { get; }

    /// <summary>What these scores hold.</summary>
    public ScoreStatistics Statistics =>
        (_max is null ? 0 : ScoreStatistics.Max)
        | (_sum is null ? 0 : ScoreStatistics.Sum)
        | (_keyNorms is null ? 0 : ScoreStatistics.KeyNorms)
        | (_valueNorms is null ? 0 : ScoreStatistics.ValueNorms)
        | (_learned is null ? 0 : ScoreStatistics.Learned);

    /// <summary>Largest attention weight over the task tokens, [tokens], 0 to 1.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="head">Attention head, 0 to Heads - 1.</param>
    /// <exception cref="InvalidOperationException">Maxima were not asked for.</exception>
    public ReadOnlySpan<float> Max(int layer, int head) => Row(_max, layer, head, Heads, nameof(Max));

    /// <summary>Sum of the attention weights over the task tokens, [tokens], 0 to <see cref="Queries"/>. Divided by <see cref="Queries"/> it is the mean.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="head">Attention head, 0 to Heads - 1.</param>
    /// <exception cref="InvalidOperationException">Sums were not asked for.</exception>
    public ReadOnlySpan<float> Sum(int layer, int head) => Row(_sum, layer, head, Heads, nameof(Sum));

    /// <summary>Writes the mean attention weight over the task tokens, [tokens], 0 to 1: the sum divided by the queries, in float32.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="head">Attention head, 0 to Heads - 1.</param>
    /// <param name="destination">Takes <see cref="Tokens"/> values.</param>
    /// <exception cref="InvalidOperationException">Sums were not asked for.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short.</exception>
    public void CopyMean(int layer, int head, Span<float> destination) => TensorPrimitives.Divide(Sum(layer, head), Queries, destination);

    /// <summary>
    /// Writes the mean over a KV head's attention heads of <see cref="Max"/>, [tokens], 0 to 1: the sum in the order of the heads divided
    /// by <see cref="GroupSize"/>, in float32.
    /// </summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <param name="destination">Takes <see cref="Tokens"/> values.</param>
    /// <exception cref="InvalidOperationException">Maxima were not asked for.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short.</exception>
    public void CopyGroupMax(int layer, int kvHead, Span<float> destination)
    {
        int first = kvHead * GroupSize;
        Max(layer, first).CopyTo(destination);
        destination = destination[..Tokens];
        for (int member = 1; member < GroupSize; member++)
        {
            TensorPrimitives.Add(destination, Max(layer, first + member), destination);
        }

        if (GroupSize > 1)
        {
            TensorPrimitives.Divide(destination, GroupSize, destination);
        }
    }

    /// <summary>L2 norms of the cached keys, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="InvalidOperationException">Key norms were not asked for.</exception>
    public ReadOnlySpan<float> KeyNorms(int layer, int kvHead) => Row(_keyNorms, layer, kvHead, KvHeads, nameof(KeyNorms));

    /// <summary>L2 norms of the cached values, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="InvalidOperationException">Value norms were not asked for.</exception>
    public ReadOnlySpan<float> ValueNorms(int layer, int kvHead) => Row(_valueNorms, layer, kvHead, KvHeads, nameof(ValueNorms));

    /// <summary>
    /// Predicted natural logarithm of the attention that a repeat pass would give, [tokens]: any finite value, most below 0. Comparable
    /// between all layers, KV heads and contexts of one model.
    /// </summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="InvalidOperationException">Learned scores were not asked for.</exception>
    public ReadOnlySpan<float> Learned(int layer, int kvHead) => Row(_learned, layer, kvHead, KvHeads, nameof(Learned));

    /// <summary>Gives the memory back. Spans taken before must not be read any more.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _max?.Dispose();
        _sum?.Dispose();
        _keyNorms?.Dispose();
        _valueNorms?.Dispose();
        _learned?.Dispose();
    }

    private ScoreBuffer? Checked(ScoreBuffer? buffer, int rows, string name)
    {
        long expected = checked((long)Layers * rows * Tokens);
        return buffer is null || buffer.Length == expected
            ? buffer
            : throw new ArgumentException($"The buffer has {buffer.Length} elements; [{Layers}, {rows}, {Tokens}] needs {expected}.", name);
    }

    private ReadOnlySpan<float> Row(ScoreBuffer? buffer, int layer, int row, int rows, string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Layers);
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, rows);
        return buffer is null
            ? throw new InvalidOperationException($"The scores have no {name}: the request did not ask for it.")
            : buffer.Slice(((long)layer * rows + row) * Tokens, Tokens);
    }
}
