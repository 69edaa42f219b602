using EdgeKV.Numerics;

namespace EdgeKV.Policies.Selection;

/// <summary>
/// Shares a budget among lists that are sorted from best to worst. The best of all lists together are a prefix of each, so a threshold
/// is searched and nothing is sorted across lists.
/// </summary>
internal static class PrefixTable
{
    /// <summary>Counts how many of the overall best entries lie in each list.</summary>
    /// <param name="table">Keys of <see cref="ScoreOrder"/>, [lists, length], ascending within a list.</param>
    /// <param name="length">Entries of a list, 1 and up.</param>
    /// <param name="budget">Units that the entries may take together, 0 and up.</param>
    /// <param name="perEntry">Units that an entry of each list takes, 1 and up.</param>
    /// <param name="protectedEntries">The first entries of every list that rank above all others, 0 and up.</param>
    /// <param name="tiesFrom">The list that comes first where entries are equal; after the last list comes list 0.</param>
    /// <param name="counts">Takes one count per list; its length says how many lists there are.</param>
    /// <remarks>
    /// Where the budget is too small for the protected entries, lower lists come first. Where entries take more than one unit, less than one of them may
    /// be left over.
    /// </remarks>
    public static void Share(
        ReadOnlySpan<uint> table, int length, long budget, ReadOnlySpan<long> perEntry, int protectedEntries, int tiesFrom, Span<int> counts)
    {
        protectedEntries = Math.Min(protectedEntries, length);
        long each = 0;
        foreach (long units in perEntry)
        {
            each += units;
        }

        if (budget <= protectedEntries * each)
        {
            Fill(counts, protectedEntries, budget, perEntry);
            return;
        }

        if (budget >= length * each)
        {
            counts.Fill(length);
            return;
        }

        // The smallest key up to which there are at least as many entries as the budget.
        uint low = 0;
        uint high = uint.MaxValue;
        while (low < high)
        {
            uint middle = low + (high - low) / 2;
            if (Taken(table, length, perEntry, protectedEntries, middle) >= budget)
            {
                high = middle;
            }
            else
            {
                low = middle + 1;
            }
        }

        long left = budget;
        for (int list = 0; list < counts.Length; list++)
        {
            counts[list] = Math.Max(protectedEntries, CountBelow(table.Slice(list * length, length), low));
            left -= counts[list] * perEntry[list];
        }

        for (int i = 0; i < counts.Length && left > 0; i++)
        {
            int list = (tiesFrom + i) % counts.Length;
            int ties = (int)Math.Min(left / perEntry[list], CountUpTo(table.Slice(list * length, length), low) - counts[list]);
            if (ties > 0)
            {
                counts[list] += ties;
                left -= ties * perEntry[list];
            }
        }
    }

    private static void Fill(Span<int> counts, int each, long budget, ReadOnlySpan<long> perEntry)
    {
        for (int list = 0; list < counts.Length; list++)
        {
            counts[list] = (int)Math.Min(each, budget / perEntry[list]);
            budget -= counts[list] * perEntry[list];
        }
    }

    private static long Taken(ReadOnlySpan<uint> table, int length, ReadOnlySpan<long> perEntry, int protectedEntries, uint key)
    {
        long taken = 0;
        for (int list = 0; list < perEntry.Length; list++)
        {
            taken += perEntry[list] * Math.Max(protectedEntries, CountUpTo(table.Slice(list * length, length), key));
        }

        return taken;
    }

    private static int CountUpTo(ReadOnlySpan<uint> sorted, uint key) => key == uint.MaxValue ? sorted.Length : CountBelow(sorted, key + 1);

    private static int CountBelow(ReadOnlySpan<uint> sorted, uint key)
    {
        int low = 0;
        int high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (sorted[middle] < key)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
