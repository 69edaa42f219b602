using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>
/// Something that a policy may ask to see of a context: one of <see cref="TaskAttention"/>, <see cref="ReconstructionAttention"/>,
/// <see cref="WindowAttention"/>, <see cref="LateWindowAttention"/>, <see cref="BlockAttention"/>, <see cref="KeyNorms"/>, <see cref="ValueNorms"/>, <see cref="KeyLeverage"/>,
/// <see cref="KeyLikeness"/>, <see cref="KeyProducts"/>, <see cref="BlockRank"/>, <see cref="OutputNorms"/>, <see cref="QueryMoments"/>,
/// <see cref="FutureAttention"/>, <see cref="ValueCapacity"/>, <see cref="TokenClasses"/> and <see cref="Learned"/>. Compares by value.
/// </summary>
/// <remarks>
/// A new one is a record with its <see cref="Reader"/>, or with what works it out from cached rows (<see cref="OfRows"/>). Requests, scores and policies take any statistic.
/// </remarks>
public abstract record Statistic
{
    private protected Statistic()
    {
    }

    /// <summary>What reports call scores that come from it: a task set's name, or for example "reconstruction", "window", "key norms" or "learned".</summary>
    public abstract string Name { get; }

    /// <summary>Whether it has a row of numbers for every attention head of a layer; otherwise for every KV head.</summary>
    public virtual bool IsPerAttentionHead => NeedsAttention;

    /// <summary>Whether tokens have to be fed for it, so that their attention can be seen.</summary>
    public virtual bool NeedsAttention => false;

    /// <summary>Whether tokens have to be fed for it: for their attention, or for their queries.</summary>
    public virtual bool NeedsPass => NeedsAttention || MadeOf.Any(other => other.NeedsPass);

    /// <summary>Whether it is read from a cache that still has all of its rows.</summary>
    public virtual bool NeedsFullCache => true;

    /// <summary>Whether it is worked out from cached rows, layer by layer (<see cref="OfRows"/>).</summary>
    internal virtual bool IsMadeOfRows => false;

    /// <summary>What asks the native library for it; null where it is worked out from cached rows, or from the tokens alone.</summary>
    internal virtual StatisticReader? Reader => null;

    /// <summary>What works it out from cached rows, where it is made of them.</summary>
    /// <param name="rows">The cached rows.</param>
    /// <param name="seen">Holds what the statistic is <see cref="MadeOf"/>.</param>
    /// <exception cref="PlanException">The statistic does not fit the model or the context.</exception>
    /// <exception cref="UnsupportedModelException">Positions are not encoded by one rotation, and the statistic has to know how they are.</exception>
    internal virtual ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) =>
        throw new InvalidOperationException($"The statistic {this} is not made of cached rows.");

    /// <summary>Statistics that have to be there before it can be worked out.</summary>
    internal virtual IReadOnlyList<Statistic> MadeOf => [];

    /// <summary>Numbers of a row: one for each token of the context, unless it says otherwise.</summary>
    internal virtual long RowLength(AttentionLayer layer, int tokens) => tokens;

    /// <summary>For example "max(repeat)", "window(64)" or "key norms".</summary>
    public sealed override string ToString() => Describe();

    private protected virtual string Describe() => Name;
}

/// <summary>
/// The attention that the tokens of a task set pay to each context token, [layers, heads, tokens]: softmax over the context and the task
/// tokens up to the query, only the context's columns kept. Costs a pass over the task set; all aggregates of one task set share it.
/// </summary>
/// <param name="TaskSet">The tokens whose attention is seen.</param>
/// <param name="Aggregate">How their weights become one number.</param>
public sealed record TaskAttention(TaskSet TaskSet, AttentionAggregate Aggregate) : Statistic
{
    /// <inheritdoc/>
    public override string Name => TaskSet.Name;

    internal override StatisticReader Reader => TaskSet is WindowTaskSet ? WindowReader.Instance : TaskReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => Aggregate == AttentionAggregate.Max ? $"max({Name})" : $"sum({Name})";
}

/// <summary>
/// The largest attention that each context token gets while the model repeats the context chunk by chunk, [layers, heads, tokens], 0 to 1
/// (KVzip, arXiv 2505.23416, section 3). Costs a pass over the context, and needs room for one chunk and its instruction at a time.
/// </summary>
/// <remarks>
/// The context after the template's prefix (<see cref="AttentionScores.PrefixTokens"/>) is cut into chunks. For each, these are fed on top of the
/// full cache and taken back: "\n\nRepeat the previous context exactly.", for later chunks "\n\nRepeat the part of the previous context exactly,
/// starting with" and the last 8 tokens of the chunk before; the chat template's turn change to the model; the chunk. The softmax is over the
/// first 4 tokens that stand before the chunk, the chunk, and the tokens fed up to the query: weights of long contexts stay comparable. A token
/// counts in its own chunk only; tokens of the prefix have 0. Wording and sizes are those of NVIDIA/kvpress, kvzip_press.
/// </remarks>
public sealed record ReconstructionAttention : Statistic
{
    /// <summary>Tokens of a chunk that the reference takes.</summary>
    public const int DefaultChunk = 2048;

    /// <summary>The maxima over chunks of one length.</summary>
    /// <param name="chunk">Tokens of a chunk, 1 and up; the last one may be shorter.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="chunk"/> is below 1.</exception>
    public ReconstructionAttention(int chunk = DefaultChunk)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(chunk, 1);
        Chunk = chunk;
    }

    /// <summary>Tokens of a chunk, 1 and up; the last one may be shorter.</summary>
    public int Chunk { get; }

    /// <inheritdoc/>
    public override string Name => "reconstruction";

    internal override StatisticReader Reader => ReconstructionReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => $"reconstruction({Chunk})";
}

/// <summary>
/// The attention that the context's own last queries pay to each of its tokens, summed, [layers, heads, tokens]: every query's weights over
/// all that it sees, itself included, make 1. The queries are taken back and fed once more; windows of several lengths share the longest one's.
/// </summary>
public sealed record WindowAttention : Statistic
{
    /// <summary>The sum over a window.</summary>
    /// <param name="queries">Length of the window, 1 and up; a window longer than the context is the whole context.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="queries"/> is below 1.</exception>
    public WindowAttention(int queries)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(queries, 1);
        Queries = queries;
    }

    /// <summary>The sum over all queries of the context, however long it is: the whole context is fed once more.</summary>
    public static WindowAttention All { get; } = new(int.MaxValue);

    /// <summary>Length of the window in queries, 1 and up; <see cref="int.MaxValue"/>: all. What was summed is <see cref="AttentionScores.Queries"/>.</summary>
    public int Queries { get; }

    /// <inheritdoc/>
    public override string Name => "window";

    internal override StatisticReader Reader => WindowReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => Queries == int.MaxValue ? "window(all)" : $"window({Queries})";
}

/// <summary>
/// As <see cref="WindowAttention"/>, each query's weights times its position, summed, [layers, heads, tokens]: later queries count more (FINCH, arXiv
/// 2408.00167). The queries are taken back and fed once more, one by one.
/// </summary>
public sealed record LateWindowAttention : Statistic
{
    /// <summary>The sum over a window.</summary>
    /// <param name="queries">Length of the window, 1 and up; a window longer than the context is the whole context.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="queries"/> is below 1.</exception>
    public LateWindowAttention(int queries)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(queries, 1);
        Queries = queries;
    }

    /// <summary>Length of the window in queries, 1 and up.</summary>
    public int Queries { get; }

    /// <inheritdoc/>
    public override string Name => "window";

    internal override StatisticReader Reader => LateWindowReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => $"late window({Queries})";
}

/// <summary>
/// The attention that each context token gets inside blocks of the context without causality, [layers, heads, tokens]: a query sees every key of its
/// block, later ones too, and no other; softmax over the plain products of the two, position encoding applied, without the model's scale; the sum over the
/// block's queries, so that the sums of a block add up to its length (Compactor, arXiv 2507.08143). Tokens outside of all blocks have 0.
/// </summary>
/// <remarks>
/// The tokens of the blocks are taken back and fed once more in batches of whole blocks, so a block must fit the session's batch. Costs that pass, which
/// <see cref="QueryMoments"/> share where they leave out equally many tokens, and block * headSize multiplications per attention head and token
/// beside it; memory of some 12 bytes per attention head, token of a batch and token of a block, in one layer at a time. Needs a model that rotates
/// queries and keys last (RoPE).
/// </remarks>
public sealed record BlockAttention : Statistic
{
    /// <summary>Tokens of a block that the reference takes (NVIDIA/kvpress, non_causal_attention_press).</summary>
    public const int DefaultBlock = 256;

    /// <summary>The sums inside blocks of some length.</summary>
    /// <param name="block">Tokens of a block, 1 and up; the last one may be shorter.</param>
    /// <param name="first">First positions that belong to no block, 0 and up: the first block follows them.</param>
    /// <param name="last">Last positions that belong to no block, 0 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public BlockAttention(int block = DefaultBlock, int first = 0, int last = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(block, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(last);
        Block = block;
        First = first;
        Last = last;
    }

    /// <summary>Tokens of a block, 1 and up; the last one may be shorter.</summary>
    public int Block { get; }

    /// <summary>First positions that belong to no block.</summary>
    public int First { get; }

    /// <summary>Last positions that belong to no block.</summary>
    public int Last { get; }

    /// <inheritdoc/>
    public override string Name => "blocks";

    internal override StatisticReader Reader => BlockReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => $"blocks({Block})";
}

/// <summary>L2 norms of the cached keys, position encoding applied, [layers, kvHeads, tokens].</summary>
public sealed record KeyNorms : Statistic
{
    /// <inheritdoc/>
    public override string Name => "key norms";

    internal override StatisticReader Reader => NormReaders.Keys;
}

/// <summary>L2 norms of the cached values, [layers, kvHeads, tokens].</summary>
public sealed record ValueNorms : Statistic
{
    /// <inheritdoc/>
    public override string Name => "value norms";

    internal override StatisticReader Reader => NormReaders.Values;
}

/// <summary>
/// How far each key stands out from the others of its KV head, [layers, kvHeads, tokens], 0 to 1: its leverage
/// x[j]^T (X^T X + 0.01 I)^-1 x[j], with x = (k - mean of all k)^T P, k the cached key before position encoding and P a random matrix
/// [headSize, sketch] of normal numbers divided by sqrt(sketch), another one for every layer and KV head (Compactor, arXiv 2507.08143; NVIDIA/kvpress,
/// leverage_press). Tokens that are left out count nowhere and have 0.
/// </summary>
/// <remarks>
/// No pass. Costs a read of the cached keys and tokens * sketch * (headSize + sketch) multiplications per KV head, in parallel over layers; memory of a layer's
/// keys in float32 and tokens * sketch numbers per thread. Keys that the cache rounds are as it rounded them. Where rounding leaves the matrix no
/// factor, 0.01 grows tenfold until it has one, as in the reference.
/// </remarks>
public sealed record KeyLeverage : Statistic
{
    /// <summary>Columns of the sketch that the reference takes.</summary>
    public const int DefaultSketch = 48;

    /// <summary>The most columns of a sketch: more than a key has channels tell nothing new.</summary>
    public const int MaxSketch = 1024;

    /// <summary>Leverage in a random sketch.</summary>
    /// <param name="sketch">Columns of the random matrix, 1 to <see cref="MaxSketch"/>.</param>
    /// <param name="seed">Which matrices are drawn.</param>
    /// <param name="first">First positions that are left out, 0 and up.</param>
    /// <param name="last">Last positions that are left out, 0 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public KeyLeverage(int sketch = DefaultSketch, int seed = 0, int first = 0, int last = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(sketch, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(sketch, MaxSketch);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(last);
        Sketch = sketch;
        Seed = seed;
        First = first;
        Last = last;
    }

    /// <summary>Columns of the random matrix.</summary>
    public int Sketch { get; }

    /// <summary>Which matrices are drawn.</summary>
    public int Seed { get; }

    /// <summary>First positions that are left out.</summary>
    public int First { get; }

    /// <summary>Last positions that are left out.</summary>
    public int Last { get; }

    /// <inheritdoc/>
    public override string Name => "key leverage";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new LeverageScores(rows, this);

    private protected override string Describe() => $"key leverage({Sketch})";
}

/// <summary>
/// Norms of what a cached value adds to its layer's output where all attention is on it, ||W_O,a v[j]||, with W_O,a the columns of the output
/// projection that take attention head a, [layers, heads, tokens].
/// </summary>
/// <param name="Kind">Which norm.</param>
public sealed record OutputNorms(NormKind Kind) : Statistic
{
    /// <inheritdoc/>
    public override string Name => "output norms";

    internal override StatisticReader Reader => NormReaders.Outputs;

    /// <inheritdoc/>
    public override bool IsPerAttentionHead => true;

    private protected override string Describe() => $"output norms({Kind})";
}

/// <summary>
/// How much each key lies along its head's others, [layers, kvHeads, tokens], -1 to 1: its cosine to the mean of k / ||k|| over the context, k
/// the cached key, position encoding applied (KeyDiff, arXiv 2504.15364). A key of length 0 is like nothing: 0. No pass.
/// </summary>
public sealed record KeyLikeness : Statistic
{
    /// <inheritdoc/>
    public override string Name => "key likeness";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new KeyLikenessScores(rows, seen);

    internal override IReadOnlyList<Statistic> MadeOf => [new KeyNorms()];
}

/// <summary>
/// Plain products of the cached keys, position encoding applied, with one direction for each layer and KV head, [layers, kvHeads, tokens]
/// (Q-Filters, arXiv 2503.02812). No pass.
/// </summary>
/// <param name="Directions">The directions, of the model that the context was read by.</param>
public sealed record KeyProducts(QueryDirections Directions) : Statistic
{
    /// <inheritdoc/>
    public override string Name => "key products";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new KeyProductScores(rows, this);
}

/// <summary>
/// Each token's rank in its block by how unevenly its key and value spread over their channels, 0 for the lowest, divided by the block's length,
/// [layers, kvHeads, tokens], 0 to below 1 (LagKV, arXiv 2504.04704). Of equal tokens the earlier one ranks higher. No pass.
/// </summary>
/// <remarks>
/// After the first positions the context is cut into whole blocks. Of a block, per channel, x = (k - min) / (max - min) with min and max over the next
/// block, 0 for a channel that does not vary there; the standard deviation of x over the channels (divided by channels - 1); softmax of that over the block's
/// tokens. The same for values; the mean of both is what ranks. Tokens of the last whole block, before the first and after the last have 0. Memory: the keys
/// or the values of one layer in float32 per thread.
/// </remarks>
public sealed record BlockRank : Statistic
{
    /// <summary>The rank in blocks of some length.</summary>
    /// <param name="first">First positions that belong to no block, 0 and up.</param>
    /// <param name="block">Tokens of a block, 1 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public BlockRank(int first, int block)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(block, 1);
        First = first;
        Block = block;
    }

    /// <summary>First positions that belong to no block.</summary>
    public int First { get; }

    /// <summary>Tokens of a block.</summary>
    public int Block { get; }

    /// <inheritdoc/>
    public override string Name => "block rank";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new BlockRankScores(rows, this);

    private protected override string Describe() => $"block rank({Block})";
}

/// <summary>
/// The attention to be expected from queries after the context, [layers, heads, tokens], 0 to 1, the sum over the tokens from
/// <paramref name="First"/> on being 1 (expected attention, arXiv 2510.00636). Tokens before that have 0. Costs the pass of <see cref="QueryMoments"/>.
/// </summary>
/// <remarks>
/// u and C are mean and covariance of these tokens' queries before position encoding, Q is the mean rotation of the positions ahead, u' = Qu,
/// C' = QCQ^T; softmax over j of k[j] u' / sqrt(d) + k[j]^T C' k[j] / (2d), with k the cached keys and d the head size.
/// </remarks>
/// <param name="First">First positions that are left out, 0 and up.</param>
/// <param name="Ahead">Positions after the context at which queries are expected, 1 and up.</param>
/// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
public sealed record FutureAttention(int First, int Ahead) : Statistic
{
    /// <summary>First positions that are left out.</summary>
    public int First { get; } = First >= 0
        ? First
        : throw new ArgumentOutOfRangeException(nameof(First), First, "First positions are 0 and up.");

    /// <summary>Positions after the context at which queries are expected.</summary>
    public int Ahead { get; } = Ahead >= 1
        ? Ahead
        : throw new ArgumentOutOfRangeException(nameof(Ahead), Ahead, "Positions ahead are 1 and up.");

    /// <inheritdoc/>
    public override string Name => "future attention";

    /// <inheritdoc/>
    public override bool IsPerAttentionHead => true;

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new FutureAttentionScores(rows, seen, this);

    internal override IReadOnlyList<Statistic> MadeOf => [new QueryMoments(QueryMoment.Mean, First), new QueryMoments(QueryMoment.Covariance, First)];
}

/// <summary>
/// What each value adds to what its head can give out, [layers, kvHeads, tokens], 0 and up (CapKV, arXiv 2604.25975). Tokens that are left out have 0.
/// Costs the pass of <see cref="QueryMoments"/>.
/// </summary>
/// <remarks>
/// Per attention head, over the tokens from <paramref name="First"/> on: w[j] = exp(<paramref name="Sharpness"/> (cos(k[j], u') - the largest of them)) with
/// u' as in <see cref="FutureAttention"/>; w[j] v[j]^T (I + sum over i of w[i] v[i] v[i]^T)^-1 v[j]; mean over the attention heads of the KV head. A key or
/// a mean query of length 0 has a cosine of 0.
/// </remarks>
/// <param name="First">First positions that are left out, 0 and up.</param>
/// <param name="Ahead">Positions after the context at which queries are expected, 1 and up.</param>
/// <param name="Sharpness">How sharply keys are told apart by their cosine, 0 (not at all) and up.</param>
/// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
public sealed record ValueCapacity(int First, int Ahead, double Sharpness) : Statistic
{
    /// <summary>First positions that are left out.</summary>
    public int First { get; } = First >= 0
        ? First
        : throw new ArgumentOutOfRangeException(nameof(First), First, "First positions are 0 and up.");

    /// <summary>Positions after the context at which queries are expected.</summary>
    public int Ahead { get; } = Ahead >= 1
        ? Ahead
        : throw new ArgumentOutOfRangeException(nameof(Ahead), Ahead, "Positions ahead are 1 and up.");

    /// <summary>How sharply keys are told apart by their cosine.</summary>
    public double Sharpness { get; } = Sharpness >= 0 && double.IsFinite(Sharpness)
        ? Sharpness
        : throw new ArgumentOutOfRangeException(nameof(Sharpness), Sharpness, "A sharpness is a finite number of 0 and up.");

    /// <inheritdoc/>
    public override string Name => "value capacity";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new ValueCapacityScores(rows, seen, this);

    internal override IReadOnlyList<Statistic> MadeOf => [new KeyNorms(), new QueryMoments(QueryMoment.Mean, First)];
}

/// <summary>
/// A moment of the context's own queries before position encoding, after the query norm where the model has one, over the tokens from
/// <paramref name="First"/> on: [layers, heads, headSize] means, or [layers, heads, headSize, headSize] covariances. These tokens are taken back
/// and fed once more, in one pass with those of <see cref="WindowAttention"/>, or of <see cref="BlockAttention"/> where that is asked for too.
/// </summary>
/// <param name="Moment">Mean or covariance; who needs both asks for both.</param>
/// <param name="First">The first token that counts, 0 and up: attention sinks have queries unlike all others. Default: 4.</param>
public sealed record QueryMoments(QueryMoment Moment, int First = 4) : Statistic
{
    /// <inheritdoc/>
    public override string Name => "queries";

    internal override StatisticReader Reader => WindowReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsPass => true;

    /// <inheritdoc/>
    public override bool IsPerAttentionHead => true;

    /// <summary>Means have as many numbers as a head has channels, covariances the square of it, whatever the tokens.</summary>
    internal override long RowLength(AttentionLayer layer, int tokens) =>
        Moment == QueryMoment.Mean ? layer.HeadSizeK : (long)layer.HeadSizeK * layer.HeadSizeK;

    private protected override string Describe() => Moment == QueryMoment.Mean ? "mean(queries)" : "covariance(queries)";
}

/// <summary>
/// Which tokens are special ones and which are punctuation, by the model's tokenizer. Not numbers in a buffer: <see cref="AttentionScores.TokenMasks"/>.
/// </summary>
public sealed record TokenClasses : Statistic
{
    /// <inheritdoc/>
    public override string Name => "token classes";

    /// <inheritdoc/>
    public override bool NeedsFullCache => false;
}

/// <summary>
/// Predicted natural logarithms of the attention that a repeat pass would give (<see cref="RepeatTaskSet"/>), [layers, kvHeads, tokens], made by
/// the prefill itself: no pass. Any finite value, most below 0; comparable between all layers, KV heads and contexts of one model.
/// </summary>
public sealed record Learned : Statistic
{
    /// <inheritdoc/>
    public override string Name => "learned";

    internal override StatisticReader Reader => LearnedReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsFullCache => false;
}
