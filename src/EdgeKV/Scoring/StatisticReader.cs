using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>
/// Asks the native library for the values of statistics. A statistic names its reader (<see cref="Statistic.Reader"/>); statistics that one pass can
/// give together form a group, which is read at once.
/// </summary>
internal abstract class StatisticReader
{
    /// <summary>Readers of a lower stage come first.</summary>
    public abstract ReadingStage Stage { get; }

    /// <summary>Statistics of one request with equal groups are read together, by the reader of the earliest stage among theirs.</summary>
    public virtual object GroupOf(Statistic statistic, ScoreRequest request) => statistic;

    /// <summary>Refuses a statistic whose tokens do not fit behind a context, before the context is read.</summary>
    /// <param name="statistic">One that this reader reads.</param>
    /// <param name="model">The model.</param>
    /// <param name="context">The context as it will be.</param>
    /// <exception cref="ContextWindowException">They do not fit.</exception>
    /// <exception cref="PlanException">The context is too short for the statistic, or its batches are.</exception>
    public virtual void EnsureRoom(Statistic statistic, EdgeModel model, ContextToRead context)
    {
    }

    /// <summary>Reads a group.</summary>
    /// <param name="group">Statistics of one group.</param>
    /// <param name="context">The context; it is left as it was.</param>
    /// <param name="values">Takes the values of every statistic of the group.</param>
    /// <param name="part">Who is told how far the reading is, and what stops it.</param>
    /// <returns>Tokens that were fed, 0 and up.</returns>
    public abstract long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part);
}

/// <summary>A context before it is read.</summary>
/// <param name="Tokens">Its tokens.</param>
/// <param name="Prefix">How many of them, the first ones, are the chat template's.</param>
/// <param name="Limit">Positions that there are.</param>
/// <param name="BatchSize">Tokens that are computed at one time.</param>
internal readonly record struct ContextToRead(int Tokens, int Prefix, int Limit, int BatchSize);

/// <summary>The order in which groups are read. What was taken back and fed again may differ from what was there in its last bits, so that comes late.</summary>
internal enum ReadingStage
{
    /// <summary>From the cache or from what was recorded during the prefill, without feeding anything.</summary>
    Cache,

    /// <summary>Task tokens fed on top of the context.</summary>
    Tasks,

    /// <summary>The context repeated in chunks on top of itself.</summary>
    Reconstruction,

    /// <summary>The context fed again in blocks.</summary>
    Blocks,

    /// <summary>The end of the context fed again token by token.</summary>
    LateWindows,

    /// <summary>The end of the context fed again.</summary>
    Again,
}
