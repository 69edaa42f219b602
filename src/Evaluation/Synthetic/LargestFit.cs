namespace EdgeKV.Evaluation;

/// <summary>Finds how much of something fits, in few tries: trying means to count the tokens of a long text.</summary>
internal static class LargestFit
{
    /// <summary>The largest number of a range that fits, where all smaller ones do.</summary>
    /// <param name="least">The smallest; it is taken to fit.</param>
    /// <param name="most">The largest.</param>
    /// <param name="fits">Whether a number fits.</param>
    public static int Find(int least, int most, Func<int, bool> fits)
    {
        while (least < most)
        {
            int middle = least + (most - least + 1) / 2;
            if (fits(middle))
            {
                least = middle;
            }
            else
            {
                most = middle - 1;
            }
        }

        return least;
    }

    /// <summary>The same from a guess, in the fewer tries the better it is. Where fitting is not quite monotone, what it returns fits all the same.</summary>
    /// <returns>Null: not even the smallest fits.</returns>
    public static int? Near(int guess, int least, int most, Func<int, bool> fits)
    {
        if (fits(guess))
        {
            int low = guess;
            int up = 1;
            while (low < most && fits(Math.Min(most, low + up)))
            {
                low = Math.Min(most, low + up);
                up *= 2;
            }

            return Find(low, Math.Min(most, low + up - 1), fits);
        }

        int high = guess;
        for (int down = 1; high > least; down *= 2)
        {
            int low = Math.Max(least, high - down);
            if (fits(low))
            {
                return Find(low, high - 1, fits);
            }

            high = low;
        }

        return null;
    }
}
