using EdgeKV.Numerics;

namespace EdgeKV.Policies;

/// <summary>
/// Positions that rank above all others and use up the budget. Where it is too small for them, the first positions come before the last ones,
/// then the most recent.
/// </summary>
/// <param name="First">First positions, 0 and up; more than the context has are all.</param>
/// <param name="Last">Last positions, 0 and up; more than the context has are all.</param>
public readonly record struct ProtectedRows(int First, int Last)
{
    /// <summary>Ranks the protected rows above all others: first positions share the best key of all; last ones follow, the latest first.</summary>
    /// <param name="keys">Keys of one KV head's rows.</param>
    /// <param name="start">Position of the first of them.</param>
    /// <param name="tokens">Tokens of the whole context.</param>
    internal void Rank(Span<uint> keys, int start, int tokens)
    {
        int first = Math.Min(First, tokens);
        int last = Math.Min(Last, tokens - first);
        for (int i = Math.Max(0, tokens - last - start); i < keys.Length; i++)
        {
            keys[i] = Math.Min((uint)(tokens - start - i), ScoreOrder.FirstKey - 1);
        }

        keys[..Math.Clamp(first - start, 0, keys.Length)].Clear();
    }
}
