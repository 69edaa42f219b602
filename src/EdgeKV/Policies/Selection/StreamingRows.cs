using EdgeKV.Models;
using EdgeKV.Planning;

namespace EdgeKV.Policies.Selection;

/// <summary>Plans in which a KV head keeps all of its rows, or only its first and its last ones.</summary>
internal static class StreamingRows
{
    /// <summary>How many of the first units of an order have to keep only their ends so that a budget holds.</summary>
    /// <param name="costs">What a row of each unit takes of the budget, in the order in which units come to keep only their ends.</param>
    /// <param name="tokens">Rows of a unit.</param>
    /// <param name="ends">Rows of a unit that keeps only its ends.</param>
    /// <param name="budget">What may stay of all units together.</param>
    /// <param name="policy">The policy's name, for the message.</param>
    /// <exception cref="PlanException">All units together are not enough.</exception>
    public static int Fewest(IReadOnlyList<long> costs, int tokens, int ends, RowLimit budget, string policy)
    {
        long over = costs.Sum() * tokens - budget.Units;
        int fewest = 0;
        for (; over > 0 && fewest < costs.Count; fewest++)
        {
            over -= costs[fewest] * (tokens - ends);
        }

        return over <= 0
            ? fewest
            : throw new PlanException(
                $"{policy} keeps {ends} of {tokens} rows where it cuts, and {costs.Count} times that is more than the budget of {budget}: give more, or fewer first and last rows.");
    }

    /// <summary>The plan.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Tokens of the context.</param>
    /// <param name="streaming">KV heads that keep only their ends, layer after layer.</param>
    /// <param name="ends">First and last positions that those keep.</param>
    /// <param name="budget">The most rows that may stay.</param>
    /// <param name="policy">The policy's name, for the message.</param>
    /// <exception cref="PlanException">More rows stay, or more than one plan can hold.</exception>
    public static CompressionPlan Plan(HeadLayout kvHeads, int tokens, ReadOnlySpan<bool> streaming, ProtectedRows ends, RowLimit budget, string policy)
    {
        int first = Math.Min(ends.First, tokens);
        int[] counts = Counts(tokens, streaming, ends);
        int[] positions = GC.AllocateUninitializedArray<int>(CountWithin(counts, budget, policy));
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

        return CompressionPlan.Adopt(kvHeads, tokens, counts, positions, budget);
    }

    /// <summary>Rows of every KV head that stay.</summary>
    /// <param name="tokens">Tokens of the context.</param>
    /// <param name="streaming">KV heads that keep only their ends, layer after layer.</param>
    /// <param name="ends">First and last positions that those keep.</param>
    public static int[] Counts(int tokens, ReadOnlySpan<bool> streaming, ProtectedRows ends)
    {
        int kept = (int)Math.Min((long)ends.First + ends.Last, tokens);
        int[] counts = new int[streaming.Length];
        for (int list = 0; list < counts.Length; list++)
        {
            counts[list] = streaming[list] ? kept : tokens;
        }

        return counts;
    }

    /// <summary>Counts the rows of a plan that follow from other options than the budget, and refuses those that pass it.</summary>
    /// <param name="counts">Rows of every KV head that stay.</param>
    /// <param name="budget">The most that may.</param>
    /// <param name="policy">The policy's name, for the message.</param>
    /// <exception cref="PlanException">More rows stay, or more than one plan can hold.</exception>
    public static int CountWithin(ReadOnlySpan<int> counts, RowLimit budget, string policy)
    {
        long units = budget.Of(counts);
        if (units > budget.Units)
        {
            throw new PlanException(
                $"{policy} keeps {budget.Text(units)} by its own options, more than the budget of {budget}: give no budget, a larger one, or other options.");
        }

        long rows = 0;
        foreach (int count in counts)
        {
            rows += count;
        }

        return rows <= Array.MaxLength
            ? (int)rows
            : throw new PlanException($"A plan of {rows} rows is more than one plan can hold: {Array.MaxLength}.");
    }
}
