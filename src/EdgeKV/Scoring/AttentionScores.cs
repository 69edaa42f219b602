using System.Diagnostics.CodeAnalysis;
using System.Numerics.Tensors;
using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>
/// What was seen of a context: for every <see cref="Statistic"/> that was asked for, a row of float32 numbers per layer and attention head or
/// KV head. Read-only, safe for many readers at once; spans are valid until it is disposed.
/// </summary>
public sealed class AttentionScores : IDisposable
{
    private static readonly Statistic KeyNormStatistic = new KeyNorms();
    private static readonly Statistic ValueNormStatistic = new ValueNorms();
    private static readonly Statistic LearnedStatistic = new Learned();

    private readonly Dictionary<Statistic, Held> _values = [];
    private bool _disposed;

    /// <summary>Takes over the given buffers: they are disposed with the scores.</summary>
    /// <param name="geometry">Layers and heads that have rows in the cache.</param>
    /// <param name="tokens">Context tokens, 1 and up.</param>
    /// <param name="values">What each statistic gave, <see cref="TokenClasses"/> apart: the rows of its heads, layer after layer.</param>
    /// <exception cref="ArgumentException">
    /// There is no token, a buffer's length does not fit the sizes, or a sum is over no query.
    /// </exception>
    public AttentionScores(CacheGeometry geometry, int tokens, IEnumerable<KeyValuePair<Statistic, StatisticValues>> values)
    {
        ArgumentNullException.ThrowIfNull(geometry);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        ArgumentNullException.ThrowIfNull(values);
        Geometry = geometry;
        Tokens = tokens;
        foreach ((Statistic statistic, StatisticValues given) in values)
        {
            Add(statistic, given);
        }
    }

    /// <summary>Layers and heads that have rows in the cache.</summary>
    public CacheGeometry Geometry { get; }

    /// <summary>Layers.</summary>
    public int Layers => Geometry.Layers.Count;

    /// <summary>Attention heads of each layer.</summary>
    public HeadLayout Heads => Geometry.Heads;

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads => Geometry.KvHeads;

    /// <summary>Attention heads that share a KV head of a layer: see <see cref="CacheGeometry.GroupSize"/>.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    public int GroupSize(int layer) => Geometry.GroupSize(layer);

    /// <summary>Context tokens, at positions 0 to Tokens - 1.</summary>
    public int Tokens { get; }

    /// <summary>
    /// How many of the context's first tokens are the chat template's, with the system prompt, and not the user's, 0 to Tokens. Default: 0, as in a context without a template.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int PrefixTokens
    {
        get;
        init => field = value >= 0 && value <= Tokens
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, $"A prefix has 0 to {Tokens} tokens, which are the whole context.");
    }

    /// <summary>The masks of <see cref="TokenClasses"/>; null: they were not asked for.</summary>
    /// <exception cref="ArgumentException">The masks are of another number of tokens.</exception>
    public TokenMasks? TokenMasks
    {
        get;
        init
        {
            if (value is not null && value.Tokens != Tokens)
            {
                throw new ArgumentException($"The masks are of {value.Tokens} tokens; the context has {Tokens}.", nameof(value));
            }

            field = value;
        }
    }

    /// <summary>What these scores hold.</summary>
    public IReadOnlyCollection<Statistic> Statistics => [.. _values.Keys, .. TokenMasks is null ? [] : (Statistic[])[new TokenClasses()]];

    /// <summary>Tokens that were fed so that these scores could be seen, 0 and up; 0: no pass was run.</summary>
    public long PassTokens { get; init; }

    /// <summary>Whether the scores hold a statistic.</summary>
    public bool Has(Statistic statistic) => statistic is TokenClasses ? TokenMasks is not null : _values.ContainsKey(statistic);

    /// <summary>Queries over which a statistic was aggregated, 0 and up: a sum divided by them is a mean.</summary>
    /// <param name="statistic">One of <see cref="Statistics"/>.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    public long Queries(Statistic statistic) => Of(statistic).Values.Queries;

    /// <summary>A row of a statistic: one number for each context token, unless the statistic says otherwise.</summary>
    /// <param name="statistic">One of <see cref="Statistics"/>.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="row">Attention head or KV head: see <see cref="Statistic.IsPerAttentionHead"/>.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or head.</exception>
    public ReadOnlySpan<float> Values(Statistic statistic, int layer, int row)
    {
        ReadOnlySpan<float> values = Values(statistic, layer);
        int rows = Rows(statistic)[layer];
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, rows);
        int length = values.Length / rows;
        return values.Slice(row * length, length);
    }

    /// <summary>All rows of a statistic in one layer, one after another.</summary>
    /// <param name="statistic">One of <see cref="Statistics"/>.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    public ReadOnlySpan<float> Values(Statistic statistic, int layer)
    {
        Held held = Of(statistic);
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Layers);
        return held.Values.Buffer.Slice(held.Starts[layer], checked((int)(held.Starts[layer + 1] - held.Starts[layer])));
    }

    /// <summary>The row of <see cref="Scoring.KeyNorms"/>, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="InvalidOperationException">Key norms were not asked for.</exception>
    public ReadOnlySpan<float> KeyNorms(int layer, int kvHead) => Values(KeyNormStatistic, layer, kvHead);

    /// <summary>The row of <see cref="Scoring.ValueNorms"/>, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="InvalidOperationException">Value norms were not asked for.</exception>
    public ReadOnlySpan<float> ValueNorms(int layer, int kvHead) => Values(ValueNormStatistic, layer, kvHead);

    /// <summary>The row of <see cref="Scoring.Learned"/>, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="InvalidOperationException">Learned scores were not asked for.</exception>
    public ReadOnlySpan<float> Learned(int layer, int kvHead) => Values(LearnedStatistic, layer, kvHead);

    /// <summary>Writes the mean attention weight of a sum, [tokens], 0 to 1: the sum divided by its queries, in float32.</summary>
    /// <param name="statistic">A sum of attention weights.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="head">Attention head, 0 to the layer's attention heads - 1.</param>
    /// <param name="destination">Takes <see cref="Tokens"/> values.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short.</exception>
    public void CopyMean(Statistic statistic, int layer, int head, Span<float> destination) =>
        TensorPrimitives.Divide(Values(statistic, layer, head), Queries(statistic), destination);

    /// <summary>
    /// Writes the mean over a KV head's attention heads of a statistic, [tokens]: the sum in the order of the heads divided by
    /// <see cref="GroupSize"/>, in float32.
    /// </summary>
    /// <param name="statistic">One that has a row for every attention head.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <param name="destination">Takes <see cref="Tokens"/> values.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short.</exception>
    public void CopyGroupMean(Statistic statistic, int layer, int kvHead, Span<float> destination)
    {
        int group = GroupSize(layer);
        int first = kvHead * group;
        ReadOnlySpan<float> row = Values(statistic, layer, first);
        row.CopyTo(destination);
        destination = destination[..row.Length];
        for (int member = 1; member < group; member++)
        {
            TensorPrimitives.Add(destination, Values(statistic, layer, first + member), destination);
        }

        if (group > 1)
        {
            TensorPrimitives.Divide(destination, group, destination);
        }
    }

    /// <summary>Gives the memory back. Spans taken before must not be read any more.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        foreach (Held held in _values.Values)
        {
            held.Values.Buffer.Dispose();
        }
    }

    /// <summary>Refuses scores that lack what a policy needs.</summary>
    /// <param name="request">What it needs.</param>
    /// <param name="policy">Its name, for the message.</param>
    /// <exception cref="PlanException">A statistic is missing.</exception>
    internal void ThrowIfLacking(ScoreRequest request, string policy)
    {
        foreach (Statistic statistic in request.Statistics)
        {
            if (!Has(statistic))
            {
                throw new PlanException($"{policy} needs {request}, but the scores hold {new ScoreRequest(Statistics)}.");
            }
        }
    }

    /// <summary>Refuses scores of a model that computes no numbers.</summary>
    /// <exception cref="ModelException">A score is NaN.</exception>
    internal void ThrowIfNone()
    {
        foreach (Statistic statistic in _values.Keys)
        {
            for (int layer = 0; layer < Layers; layer++)
            {
                ModelNumbers.EnsureScores(Values(statistic, layer), statistic.ToString());
            }
        }
    }

    /// <summary>Takes over what another statistic gave. Before anybody else reads these scores.</summary>
    /// <param name="statistic">One that is not there yet.</param>
    /// <param name="given">Its numbers.</param>
    internal void Add(Statistic statistic, StatisticValues given)
    {
        Check(statistic, given);
        _values.Add(statistic, new Held(given, Starts(statistic)));
    }

    /// <summary>Gives back what is not asked for. Before anybody else reads these scores.</summary>
    /// <param name="request">What stays; shares no memory with what goes.</param>
    internal void Keep(ScoreRequest request)
    {
        foreach (Statistic statistic in _values.Keys.Except(request.Statistics).ToArray())
        {
            _values.Remove(statistic, out Held? held);
            held!.Values.Buffer.Dispose();
        }
    }

    private HeadLayout Rows(Statistic statistic) => Geometry.Rows(statistic.IsPerAttentionHead);

    private Held Of(Statistic statistic)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _values.TryGetValue(statistic, out Held? held) ? held : ThrowMissing(statistic);
    }

    // Where the rows of each layer begin in a statistic's buffer, and where they end.
    private long[] Starts(Statistic statistic)
    {
        long[] starts = new long[Layers + 1];
        for (int layer = 0; layer < Layers; layer++)
        {
            starts[layer + 1] = checked(starts[layer] + Rows(statistic)[layer] * statistic.RowLength(Geometry.Layers[layer], Tokens));
        }

        return starts;
    }

    [DoesNotReturn]
    private static Held ThrowMissing(Statistic statistic) =>
        throw new InvalidOperationException($"The scores have no {statistic}: the request did not ask for it.");

    private void Check(Statistic statistic, StatisticValues values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (statistic is TokenClasses)
        {
            throw new ArgumentException($"The {statistic} are no numbers: give {nameof(TokenMasks)}, not a buffer.", nameof(values));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(values.Queries);
        long length = values.Buffer.Length;
        if (length != Starts(statistic)[^1])
        {
            throw new ArgumentException(
                $"The buffer of {statistic} has {length} elements; {Rows(statistic)} heads and {Tokens} tokens need {Starts(statistic)[^1]}.", nameof(values));
        }

        if (values.Queries == 0 && statistic is WindowAttention or TaskAttention { Aggregate: AttentionAggregate.Sum })
        {
            throw new ArgumentException($"{statistic}: sums over no query have no mean.", nameof(values));
        }
    }

    private sealed record Held(StatisticValues Values, long[] Starts);
}
