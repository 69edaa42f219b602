using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>
/// Something that a policy may ask to see of a context: one of <see cref="TaskAttention"/>, <see cref="ReconstructionAttention"/>,
/// <see cref="WindowAttention"/>, <see cref="LateWindowAttention"/>, <see cref="BlockAttention"/>, <see cref="KeyNorms"/>, <see cref="ValueNorms"/>, <see cref="KeyLeverage"/>,
/// <see cref="KeyLikeness"/>, <see cref="KeyProducts"/>, <see cref="BlockRank"/>, <see cref="OutputNorms"/>, <see cref="QueryMoments"/>,
/// <see cref="FutureAttention"/>, <see cref="ValueCapacity"/>, <see cref="TokenClasses"/> and <see cref="Learned"/>. Compares by value.
/// </summary>
/// <remarks>
/// Each has a file of its own, with its <see cref="Reader"/> or with what works it out from cached rows (<see cref="OfRows"/>). Requests, scores and policies take any statistic.
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
