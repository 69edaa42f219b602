namespace EdgeKV.Evaluation;

/// <summary>
/// LongBench's similarity of code: the first line of the answer that holds no comment or quotation, against the reference, by fuzzywuzzy's ratio as it is
/// without python-Levenshtein, which LongBench does not ask for: difflib's 2 M / T, M the characters of the matching blocks, T those of both texts, rounded to percent.
/// </summary>
internal static class EditSimilarity
{
    private const int PopularFrom = 200;

    public static double Score(string answer, string reference)
    {
        string line = answer.TrimStart('\n').Split('\n').FirstOrDefault(IsCode, string.Empty);
        if (line == reference)
        {
            return 1;
        }

        if (line.Length == 0 || reference.Length == 0)
        {
            return 0;
        }

        int[] a = [.. line.EnumerateRunes().Select(c => c.Value)];
        int[] b = [.. reference.EnumerateRunes().Select(c => c.Value)];
        return Math.Round(100 * (2.0 * Matching(a, b) / (a.Length + b.Length)), MidpointRounding.ToEven) / 100;
    }

    private static bool IsCode(string line) => !line.Contains('`') && !line.Contains('#') && !line.Contains("//", StringComparison.Ordinal);

    /// <summary>Characters of the matching blocks: the longest common run, then the same left and right of it.</summary>
    private static int Matching(int[] a, int[] b)
    {
        Dictionary<int, List<int>> places = Places(b);
        int matching = 0;
        Stack<(int AFrom, int ATo, int BFrom, int BTo)> open = new([(0, a.Length, 0, b.Length)]);
        while (open.TryPop(out (int AFrom, int ATo, int BFrom, int BTo) part))
        {
            (int i, int j, int length) = Longest(a, b, places, part);
            if (length > 0)
            {
                matching += length;
                open.Push((part.AFrom, i, part.BFrom, j));
                open.Push((i + length, part.ATo, j + length, part.BTo));
            }
        }

        return matching;
    }

    // In long texts, what makes up more than a hundredth of them begins no run, but may lengthen one.
    private static Dictionary<int, List<int>> Places(int[] b)
    {
        Dictionary<int, List<int>> places = [];
        for (int j = 0; j < b.Length; j++)
        {
            if (!places.TryGetValue(b[j], out List<int>? of))
            {
                places[b[j]] = of = [];
            }

            of.Add(j);
        }

        if (b.Length >= PopularFrom)
        {
            foreach (int popular in places.Where(place => place.Value.Count > b.Length / 100 + 1).Select(place => place.Key).ToArray())
            {
                places.Remove(popular);
            }
        }

        return places;
    }

    // Of several, the first in a, and of those the first in b.
    private static (int I, int J, int Length) Longest(
        int[] a, int[] b, Dictionary<int, List<int>> places, (int AFrom, int ATo, int BFrom, int BTo) part)
    {
        (int bestI, int bestJ, int best) = (part.AFrom, part.BFrom, 0);
        Dictionary<int, int> ending = [];
        for (int i = part.AFrom; i < part.ATo; i++)
        {
            Dictionary<int, int> now = [];
            foreach (int j in places.GetValueOrDefault(a[i], []))
            {
                if (j >= part.BFrom && j < part.BTo)
                {
                    int length = now[j] = ending.GetValueOrDefault(j - 1) + 1;
                    if (length > best)
                    {
                        (bestI, bestJ, best) = (i - length + 1, j - length + 1, length);
                    }
                }
            }

            ending = now;
        }

        while (bestI > part.AFrom && bestJ > part.BFrom && a[bestI - 1] == b[bestJ - 1])
        {
            (bestI, bestJ, best) = (bestI - 1, bestJ - 1, best + 1);
        }

        while (bestI + best < part.ATo && bestJ + best < part.BTo && a[bestI + best] == b[bestJ + best])
        {
            best++;
        }

        return (bestI, bestJ, best);
    }
}
