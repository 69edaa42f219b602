using System.Diagnostics.CodeAnalysis;
using System.Numerics.Tensors;

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

    private readonly Dictionary<Statistic, StatisticValues> _values;
    private bool _disposed;

    /// <summary>Takes over the given buffers: they are disposed with the scores.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="heads">Attention heads of a layer, a multiple of <paramref name="kvHeads"/>.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="tokens">Context tokens, 1 and up.</param>
    /// <param name="values">What each statistic gave, <see cref="TokenClasses"/> apart.</param>
    /// <exception cref="ArgumentException">
    /// A size is out of its range, a buffer's length does not fit the sizes, or a sum is over no query.
    /// </exception>
    public AttentionScores(
        int layers,
        int heads,
        int kvHeads,
        int tokens,
        IEnumerable<KeyValuePair<Statistic, StatisticValues>> values)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(layers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(heads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(kvHeads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        ArgumentNullException.ThrowIfNull(values);
        if (heads % kvHeads != 0)
        {
            throw new ArgumentException($"{heads} attention heads cannot share {kvHeads} KV heads: not a multiple.", nameof(heads));
        }

        Layers = layers;
        Heads = heads;
        KvHeads = kvHeads;
        Tokens = tokens;
        _values = new Dictionary<Statistic, StatisticValues>(values);
        foreach ((Statistic statistic, StatisticValues given) in _values)
        {
            Check(statistic, given);
        }
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
    public long Queries(Statistic statistic) => Of(statistic).Queries;

    /// <summary>A row of a statistic: one number for each context token, unless the statistic says otherwise.</summary>
    /// <param name="statistic">One of <see cref="Statistics"/>.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="row">Attention head or KV head: see <see cref="Statistic.IsPerAttentionHead"/>.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or head.</exception>
    public ReadOnlySpan<float> Values(Statistic statistic, int layer, int row)
    {
        ReadOnlySpan<float> values = Values(statistic, layer);
        int rows = Rows(statistic);
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
        StatisticValues values = Of(statistic);
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Layers);
        long length = values.Buffer.Length / Layers;
        return values.Buffer.Slice(layer * length, checked((int)length));
    }

    /// <summary>The row of <see cref="Scoring.KeyNorms"/>, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="InvalidOperationException">Key norms were not asked for.</exception>
    public ReadOnlySpan<float> KeyNorms(int layer, int kvHead) => Values(KeyNormStatistic, layer, kvHead);

    /// <summary>The row of <see cref="Scoring.ValueNorms"/>, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="InvalidOperationException">Value norms were not asked for.</exception>
    public ReadOnlySpan<float> ValueNorms(int layer, int kvHead) => Values(ValueNormStatistic, layer, kvHead);

    /// <summary>The row of <see cref="Scoring.Learned"/>, [tokens].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="InvalidOperationException">Learned scores were not asked for.</exception>
    public ReadOnlySpan<float> Learned(int layer, int kvHead) => Values(LearnedStatistic, layer, kvHead);

    /// <summary>Writes the mean attention weight of a sum, [tokens], 0 to 1: the sum divided by its queries, in float32.</summary>
    /// <param name="statistic">A sum of attention weights.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="head">Attention head, 0 to Heads - 1.</param>
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
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <param name="destination">Takes <see cref="Tokens"/> values.</param>
    /// <exception cref="InvalidOperationException">It was not asked for.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short.</exception>
    public void CopyGroupMean(Statistic statistic, int layer, int kvHead, Span<float> destination)
    {
        int first = kvHead * GroupSize;
        ReadOnlySpan<float> row = Values(statistic, layer, first);
        row.CopyTo(destination);
        destination = destination[..row.Length];
        for (int member = 1; member < GroupSize; member++)
        {
            TensorPrimitives.Add(destination, Values(statistic, layer, first + member), destination);
        }

        if (GroupSize > 1)
        {
            TensorPrimitives.Divide(destination, GroupSize, destination);
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
        foreach (StatisticValues values in _values.Values)
        {
            values.Buffer.Dispose();
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

    /// <summary>Takes over what another statistic gave. Before anybody else reads these scores.</summary>
    /// <param name="statistic">One that is not there yet.</param>
    /// <param name="given">Its numbers.</param>
    internal void Add(Statistic statistic, StatisticValues given)
    {
        Check(statistic, given);
        _values.Add(statistic, given);
    }

    /// <summary>Gives back what is not asked for. Before anybody else reads these scores.</summary>
    /// <param name="request">What stays; shares no memory with what goes.</param>
    internal void Keep(ScoreRequest request)
    {
        foreach (Statistic statistic in _values.Keys.Except(request.Statistics).ToArray())
        {
            _values.Remove(statistic, out StatisticValues? values);
            values!.Buffer.Dispose();
        }
    }

    private int Rows(Statistic statistic) => statistic.IsPerAttentionHead ? Heads : KvHeads;

    private StatisticValues Of(Statistic statistic)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _values.TryGetValue(statistic, out StatisticValues? values) ? values : ThrowMissing(statistic);
    }

    [DoesNotReturn]
    private static StatisticValues ThrowMissing(Statistic statistic) =>
        throw new InvalidOperationException($"The scores have no {statistic}: the request did not ask for it.");

    private void Check(Statistic statistic, StatisticValues values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (statistic is TokenClasses)
        {
            throw new ArgumentException($"The {statistic} are no numbers: give {nameof(TokenMasks)}, not a buffer.", nameof(values));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(values.Queries);
        long rows = checked((long)Layers * Rows(statistic));
        long length = values.Buffer.Length;
        if (length % rows != 0 || !statistic.Fits(length / rows, Tokens))
        {
            throw new ArgumentException(
                statistic is QueryMoments
                    ? $"The buffer of {statistic} has {length} elements: not as many for each of {Layers} x {Heads} heads, or no square."
                    : $"The buffer of {statistic} has {length} elements; [{Layers}, {Rows(statistic)}, {Tokens}] needs {checked(rows * Tokens)}.",
                nameof(values));
        }

        if (values.Queries == 0 && statistic is WindowAttention or TaskAttention { Aggregate: AttentionAggregate.Sum })
        {
            throw new ArgumentException($"{statistic}: sums over no query have no mean.", nameof(values));
        }
    }
}
