namespace EdgeKV.Evaluation;

/// <summary>Finds how much of something fits, in as many tries as its number has binary digits.</summary>
internal static class LargestFit
{
    /// <summary>The largest number in a range that fits, where all smaller ones do.</summary>
    /// <param name="least">The smallest that is asked for; it is taken to fit.</param>
    /// <param name="most">The largest that is asked for.</param>
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
}
