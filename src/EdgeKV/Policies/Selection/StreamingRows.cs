using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Selection;

/// <summary>Plans in which a KV head keeps all of its rows, or only its first and its last ones.</summary>
internal static class StreamingRows
{
    /// <summary>How many units have to keep only their ends so that a budget holds.</summary>
    /// <param name="units">Units there are: KV heads, or layers.</param>
    /// <param name="tokens">Rows of a unit.</param>
    /// <param name="ends">Rows of a unit that keeps only its ends.</param>
    /// <param name="budget">Rows that may stay of all units together.</param>
    /// <param name="policy">The policy's name, for the message.</param>
    /// <exception cref="PlanException">All units together are not enough.</exception>
    public static int Fewest(int units, int tokens, int ends, long budget, string policy)
    {
        long over = (long)units * tokens - budget;
        if ((long)units * ends > budget)
        {
            throw new PlanException(
                $"{policy} keeps {ends} of {tokens} rows where it cuts, and {units} times that is more than the budget of {budget} rows: give more, or fewer first and last rows.");
        }

        return over > 0 ? (int)((over - 1) / (tokens - ends) + 1) : 0;
    }

    /// <summary>The plan.</summary>
    /// <param name="scores">Its sizes.</param>
    /// <param name="streaming">KV heads that keep only their ends, [layers, kvHeads].</param>
    /// <param name="ends">First and last positions that those keep.</param>
    /// <param name="budget">The most rows that may stay.</param>
    /// <param name="policy">The policy's name, for the message.</param>
    /// <exception cref="PlanException">More rows stay, or more than one plan can hold.</exception>
    public static CompressionPlan Plan(AttentionScores scores, ReadOnlySpan<bool> streaming, ProtectedRows ends, long budget, string policy)
    {
        int tokens = scores.Tokens;
        int first = Math.Min(ends.First, tokens);
        int last = Math.Min(ends.Last, tokens - first);
        int[] counts = new int[streaming.Length];
        long total = 0;
        for (int list = 0; list < counts.Length; list++)
        {
            counts[list] = streaming[list] ? first + last : tokens;
            total += counts[list];
        }

        ThrowIfOver(total, budget, policy);
        int[] positions = GC.AllocateUninitializedArray<int>((int)total);
        Span<int> left = positions;
        foreach (int count in counts)
        {
            int gap = tokens - count;
            for (int row = 0; row < count; row++)
            {
                left[row] = row < first ? row : row + gap;
            }

            left = left[count..];
        }

        return CompressionPlan.Adopt(scores.Layers, scores.KvHeads, tokens, counts, positions, budget);
    }

    /// <summary>Refuses a plan whose rows follow from other options than the budget.</summary>
    /// <param name="rows">Rows that stay.</param>
    /// <param name="budget">The most that may.</param>
    /// <param name="policy">The policy's name, for the message.</param>
    /// <exception cref="PlanException">More rows stay, or more than one plan can hold.</exception>
    public static void ThrowIfOver(long rows, long budget, string policy)
    {
        if (rows > budget)
        {
            throw new PlanException(
                $"{policy} keeps {rows} rows by its own options, more than the budget of {budget}: give no budget, a larger one, or other options.");
        }

        if (rows > Array.MaxLength)
        {
            throw new PlanException($"A plan of {rows} rows is more than one plan can hold: {Array.MaxLength}.");
        }
    }
}
