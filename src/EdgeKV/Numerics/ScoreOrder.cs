using System.Runtime.CompilerServices;

namespace EdgeKV.Numerics;

/// <summary>
/// The order of finite float32 scores by their bits. A score's key is an unsigned number that is smaller the higher the score is, so that
/// sorting and selecting work on digits and never branch on a comparison. Zeros of both signs have one key.
/// </summary>
internal static class ScoreOrder
{
    /// <summary>Bits of a digit; three digits are a key, the highest one bit short.</summary>
    public const int DigitBits = 11;

    /// <summary>Values of a digit, and the counters that <see cref="CountDigits"/> needs.</summary>
    public const int Digits = 1 << DigitBits;

    private const uint DigitMask = Digits - 1;
    private const uint Sign = 0x8000_0000;

    /// <summary>Counters that <see cref="SortKeys"/> and <see cref="TopPositions"/> need.</summary>
    public const int HistogramLength = 3 * Digits;

    /// <summary>Keys below this one belong to no finite score: free for entries that rank above all scores.</summary>
    public const uint FirstKey = 0x0080_0000;

    /// <summary>The key of a finite score.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Key(float score)
    {
        // Adding zero turns -0 into +0.
        uint bits = BitConverter.SingleToUInt32Bits(score + 0f);

        // Negative: bits as they are (a larger magnitude is a lower score). Positive: all but the sign turned round.
        return bits ^ (~(uint)((int)bits >> 31) & ~Sign);
    }

    /// <summary>The score of a key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Score(uint key) => BitConverter.UInt32BitsToSingle(key ^ (~(uint)((int)key >> 31) & ~Sign));

    /// <summary>Writes the key of every score.</summary>
    /// <param name="scores">Finite scores.</param>
    /// <param name="keys">Takes as many keys as there are scores.</param>
    public static void Keys(ReadOnlySpan<float> scores, Span<uint> keys)
    {
        keys = keys[..scores.Length];
        for (int i = 0; i < scores.Length; i++)
        {
            keys[i] = Key(scores[i]);
        }
    }

    /// <summary>The key that all scores of at least a limit stay below: one more than that of the lowest such score.</summary>
    /// <param name="limit">Any number but NaN; no float32 need be equal to it.</param>
    public static uint KeyAfter(double limit)
    {
        float lowest = (float)limit;
        if (lowest < limit)
        {
            lowest = MathF.BitIncrement(lowest);
        }

        return Key(lowest) + 1;
    }

    /// <summary>The position of the first score without a place in the order: infinite or not a number; null = there is none.</summary>
    public static int? FirstNotFinite(ReadOnlySpan<float> scores)
    {
        for (int i = 0; i < scores.Length; i++)
        {
            if (!float.IsFinite(scores[i]))
            {
                return i;
            }
        }

        return null;
    }

    /// <summary>Counts one digit of those keys that begin alike.</summary>
    /// <param name="keys">Keys in any order.</param>
    /// <param name="mask">The bits above the digit; 0 counts all keys.</param>
    /// <param name="prefix">What these bits are in the keys that count.</param>
    /// <param name="shift">The digit's lowest bit.</param>
    /// <param name="counters"><see cref="Digits"/> counters; what they hold goes up.</param>
    public static void CountDigits(ReadOnlySpan<uint> keys, uint mask, uint prefix, int shift, Span<int> counters)
    {
        counters = counters[..Digits];
        foreach (uint key in keys)
        {
            if ((key & mask) == prefix)
            {
                counters[(int)((key >> shift) & DigitMask)]++;
            }
        }
    }

    /// <summary>Counts the keys before a key and those equal to it.</summary>
    public static (int Before, int Equal) Count(ReadOnlySpan<uint> keys, uint key)
    {
        int before = 0;
        int upTo = 0;
        foreach (uint other in keys)
        {
            // Sums, not branches: which scores are high is nothing that a branch could foresee.
            before += other < key ? 1 : 0;
            upTo += other <= key ? 1 : 0;
        }

        return (before, upTo - before);
    }

    /// <summary>The key at which the lowest keys end, and how many of the keys equal to it are among them.</summary>
    /// <param name="keys">Keys in any order.</param>
    /// <param name="count">How many are the lowest, 0 to all.</param>
    /// <param name="counters">At least <see cref="Digits"/> counters; their content does not matter.</param>
    public static (uint End, int Ties) Cut(ReadOnlySpan<uint> keys, int count, Span<int> counters)
    {
        if (count == 0)
        {
            return (0, 0);
        }

        counters = counters[..Digits];
        uint mask = 0;
        uint key = 0;
        for (int shift = 2 * DigitBits; shift >= 0; shift -= DigitBits)
        {
            counters.Clear();
            CountDigits(keys, mask, key, shift, counters);
            key |= Digit(counters, ref count) << shift;
            mask = uint.MaxValue << shift;
        }

        return (key, count);
    }

    /// <summary>Writes the positions of all keys before a key and of the first ones equal to it, in ascending order.</summary>
    /// <param name="keys">Keys in any order.</param>
    /// <param name="key">The key at which it ends.</param>
    /// <param name="positions">Takes the positions; its length says how many: the keys before and <paramref name="equal"/>.</param>
    /// <param name="equal">How many of them are equal to <paramref name="key"/>.</param>
    public static void Positions(ReadOnlySpan<uint> keys, uint key, Span<int> positions, int equal)
    {
        int kept = 0;
        for (int i = 0; kept < positions.Length; i++)
        {
            uint other = keys[i];
            positions[kept] = i;
            kept += other < key ? 1 : 0;
            if (other == key && equal > 0)
            {
                equal--;
                kept++;
            }
        }
    }

    /// <summary>Writes the keys of scores from the highest score to the lowest: radix sort over three digits.</summary>
    /// <param name="scores">Finite scores.</param>
    /// <param name="sorted">Takes as many keys as there are scores.</param>
    /// <param name="spare">As long as <paramref name="sorted"/>.</param>
    /// <param name="histogram">At least <see cref="HistogramLength"/> counters; their content does not matter.</param>
    public static void SortKeys(ReadOnlySpan<float> scores, Span<uint> sorted, Span<uint> spare, Span<int> histogram)
    {
        int length = scores.Length;
        sorted = sorted[..length];
        spare = spare[..length];
        Span<int> low = histogram[..Digits];
        Span<int> middle = histogram.Slice(Digits, Digits);
        Span<int> high = histogram.Slice(2 * Digits, Digits);
        histogram[..HistogramLength].Clear();
        for (int i = 0; i < length; i++)
        {
            uint key = Key(scores[i]);
            sorted[i] = key;
            low[(int)(key & DigitMask)]++;
            middle[(int)((key >> DigitBits) & DigitMask)]++;
            high[(int)(key >> (2 * DigitBits))]++;
        }

        // Three moves from one array to the other would end in the wrong one, so the last comes back by a copy.
        Scatter(sorted, spare, low, 0);
        Scatter(spare, sorted, middle, DigitBits);
        Scatter(sorted, spare, high, 2 * DigitBits);
        spare.CopyTo(sorted);
    }

    /// <summary>Writes the positions of the highest scores in ascending order; of equal scores the earlier positions.</summary>
    /// <param name="scores">Finite scores.</param>
    /// <param name="positions">Takes the positions; its length, 0 to the number of scores, says how many.</param>
    /// <param name="spare">At least as long as <paramref name="scores"/>.</param>
    /// <param name="histogram">At least <see cref="HistogramLength"/> counters; their content does not matter.</param>
    public static void TopPositions(ReadOnlySpan<float> scores, Span<int> positions, Span<uint> spare, Span<int> histogram)
    {
        if (positions.IsEmpty)
        {
            return;
        }

        if (positions.Length == scores.Length)
        {
            for (int i = 0; i < positions.Length; i++)
            {
                positions[i] = i;
            }

            return;
        }

        (uint threshold, int ties) = Threshold(scores, positions.Length, spare, histogram);
        int kept = 0;
        for (int i = 0; kept < positions.Length; i++)
        {
            uint key = Key(scores[i]);

            // Written first and counted then: which scores are high is nothing that a branch could foresee.
            positions[kept] = i;
            kept += key < threshold ? 1 : 0;
            if (key == threshold && ties > 0)
            {
                ties--;
                kept++;
            }
        }
    }

    // The key of the count-th highest score, and how many scores of that very key are among the count highest.
    private static (uint Threshold, int Ties) Threshold(ReadOnlySpan<float> scores, int count, Span<uint> spare, Span<int> histogram)
    {
        Span<int> counters = histogram[..Digits];
        counters.Clear();
        foreach (float score in scores)
        {
            counters[(int)(Key(score) >> (2 * DigitBits))]++;
        }

        uint high = Digit(counters, ref count);
        int candidates = 0;
        foreach (float score in scores)
        {
            uint key = Key(score);
            if (key >> (2 * DigitBits) == high)
            {
                spare[candidates++] = key;
            }
        }

        counters.Clear();
        foreach (uint key in spare[..candidates])
        {
            counters[(int)((key >> DigitBits) & DigitMask)]++;
        }

        uint middle = Digit(counters, ref count);
        counters.Clear();
        foreach (uint key in spare[..candidates])
        {
            if (((key >> DigitBits) & DigitMask) == middle)
            {
                counters[(int)(key & DigitMask)]++;
            }
        }

        uint low = Digit(counters, ref count);
        return ((high << (2 * DigitBits)) | (middle << DigitBits) | low, count);
    }

    // The digit in which the count-th key lies; count becomes its rank within that digit.
    private static uint Digit(ReadOnlySpan<int> counters, ref int count)
    {
        int digit = 0;
        while (counters[digit] < count)
        {
            count -= counters[digit++];
        }

        return (uint)digit;
    }

    private static void Scatter(ReadOnlySpan<uint> from, Span<uint> to, Span<int> counters, int shift)
    {
        int start = 0;
        for (int digit = 0; digit < counters.Length; digit++)
        {
            int count = counters[digit];
            counters[digit] = start;
            start += count;
        }

        foreach (uint key in from)
        {
            to[counters[(int)((key >> shift) & DigitMask)]++] = key;
        }
    }
}
