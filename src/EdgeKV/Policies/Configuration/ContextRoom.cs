namespace EdgeKV.Policies.Configuration;

/// <summary>What a session has room for behind the context: some scores need to feed a general question there.</summary>
/// <param name="Tokens">Tokens of the context, 0 and up.</param>
/// <param name="Limit">Tokens that the session can hold, 0 and up.</param>
/// <param name="Question">Tokens of the general question, 0 and up: <c>EdgeModel.ProbeTokens</c>.</param>
public sealed record ContextRoom(int Tokens, int Limit, int Question)
{
    /// <summary>Room for anything: the context is not known yet.</summary>
    public static ContextRoom Ample { get; } = new(0, int.MaxValue, 0);

    /// <summary>
    /// No question can be asked, however much fits: rows are dropped while the context is read, or the cache is compact already and has no attention left to look at.
    /// </summary>
    public static ContextRoom None { get; } = new(0, 0, 0) { HasNone = true };

    /// <summary>Whether no question can be asked, however much fits.</summary>
    internal bool HasNone { get; private init; }

    /// <summary>Whether the general question can be asked.</summary>
    internal bool HoldsQuestion => !HasNone && (long)Tokens + Question <= Limit;
}
