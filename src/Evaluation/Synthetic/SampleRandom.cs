using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>Random numbers that are the same on every machine and with every version of .NET: SplitMix64 (Steele, Lea and Flood, 2014).</summary>
internal sealed class SampleRandom
{
    private const ulong Step = 0x9E3779B97F4A7C15;

    private ulong _state;

    /// <summary>A sequence of its own for every name.</summary>
    public SampleRandom(string name)
    {
        // FNV-1a, 64 bits.
        _state = 0xCBF29CE484222325;
        foreach (byte b in Encoding.UTF8.GetBytes(name))
        {
            _state = unchecked((_state ^ b) * 0x100000001B3);
        }
    }

    /// <summary>A number from 0 to below <paramref name="end"/>.</summary>
    public int Next(int end) => (int)(((UInt128)NextBits() * (ulong)end) >> 64);

    /// <summary>A number from 0 to below 1.</summary>
    public double NextShare() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    public T Choose<T>(IReadOnlyList<T> items) => items[Next(items.Count)];

    /// <summary>All items in another order.</summary>
    public T[] Shuffled<T>(IEnumerable<T> items)
    {
        T[] shuffled = [.. items];
        for (int i = shuffled.Length - 1; i > 0; i--)
        {
            int j = Next(i + 1);
            (shuffled[i], shuffled[j]) = (shuffled[j], shuffled[i]);
        }

        return shuffled;
    }

    /// <summary>Different numbers from 0 to below <paramref name="end"/>, in random order.</summary>
    public int[] Sample(int end, int count)
    {
        HashSet<int> seen = [];
        int[] sample = new int[count];
        for (int i = 0; i < count;)
        {
            int number = Next(end);
            if (seen.Add(number))
            {
                sample[i++] = number;
            }
        }

        return sample;
    }

    public string Letters(int count, char first)
    {
        StringBuilder letters = new(count);
        for (int i = 0; i < count; i++)
        {
            letters.Append((char)(first + Next(26)));
        }

        return letters.ToString();
    }

    /// <summary>So many different texts, in the order in which they come.</summary>
    public static string[] Different(int count, Func<string> next)
    {
        HashSet<string> seen = [];
        string[] different = new string[count];
        for (int i = 0; i < count;)
        {
            string text = next();
            if (seen.Add(text))
            {
                different[i++] = text;
            }
        }

        return different;
    }

    /// <summary>A UUID of version 4.</summary>
    public string Uuid()
    {
        ulong high = (NextBits() & 0xFFFFFFFFFFFF0FFF) | 0x4000;
        ulong low = (NextBits() & 0x3FFFFFFFFFFFFFFF) | 0x8000000000000000;
        string hex = $"{high:x16}{low:x16}";
        return $"{hex[..8]}-{hex[8..12]}-{hex[12..16]}-{hex[16..20]}-{hex[20..]}";
    }

    private ulong NextBits()
    {
        unchecked
        {
            ulong bits = _state += Step;
            bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
            bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
            return bits ^ (bits >> 31);
        }
    }
}
