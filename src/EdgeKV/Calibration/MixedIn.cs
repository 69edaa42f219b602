using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace EdgeKV.Calibration;

/// <summary>
/// Sentences that hold numbers, identifiers and UUIDs: strings that can only be given back word for word, which a smaller cache loses first and
/// which plain text has too few of to learn from.
/// </summary>
internal static partial class MixedIn
{
    private const int MostSentences = 3;

    private static readonly string[] Templates =
    [
        "The {0} of {1} is {2}.",
        "Note that {1} has the {0} {2}.",
        "For {1} use {2} as the {0}.",
        "{1} was registered under {2}; ask there for the {0}.",
        "{2} is the {0} that belongs to {1}.",
        "If somebody asks for the {0} of {1}, the answer is {2}.",
        "{1} ({0}): {2}",
        "{0}.{1} = {2}",
    ];

    // For texts that have too few words of their own.
    private static readonly string[] Words =
    [
        "harbour", "ledger", "window", "garden", "engine", "signal", "bridge", "winter", "copper", "letter", "market", "number", "island", "meadow", "basket", "carpet",
    ];

    private static readonly Func<Random, string>[] Values =
    [
        Uuid,
        Uuid,
        r => r.Next(1_000_000, 10_000_000).ToString(CultureInfo.InvariantCulture),
        r => r.NextInt64(10_000_000, 100_000_000_000).ToString(CultureInfo.InvariantCulture),
        r => Hex(r, 8 + 8 * r.Next(4)),
        r => string.Create(CultureInfo.InvariantCulture, $"{(char)('A' + r.Next(26))}{(char)('A' + r.Next(26))}-{r.Next(1000, 100_000)}"),
        r => string.Create(CultureInfo.InvariantCulture, $"{r.Next(1, 255)}.{r.Next(256)}.{r.Next(256)}.{r.Next(1, 255)}"),
        r => new DateTime(1990, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddMinutes(r.Next(20_000_000)).ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture),
        r => string.Create(CultureInfo.InvariantCulture, $"{r.Next(1, 10_000)}.{r.Next(100):00} EUR"),
    ];

    /// <summary>Puts 1 to 3 sentences at ends of lines or sentences.</summary>
    public static string Into(string text, Random random)
    {
        string[] words = WordsOf(text);
        int[] ends = [.. Ends().Matches(text).Select(match => match.Index + match.Length)];
        if (ends.Length == 0)
        {
            ends = [text.Length];
        }

        StringBuilder mixed = new();
        int at = 0;
        foreach (int end in Enumerable.Range(0, random.Next(1, MostSentences + 1)).Select(_ => ends[random.Next(ends.Length)]).Order().ToArray())
        {
            mixed.Append(text, at, end - at).Append(Sentence(Templates[random.Next(Templates.Length)], words, Values[random.Next(Values.Length)], random));
            mixed.Append(text[end - 1] == '\n' ? '\n' : ' ');
            at = end;
        }

        return mixed.Append(text, at, text.Length - at).ToString();
    }

    private static string Sentence(string template, string[] words, Func<Random, string> value, Random random) => string.Format(
        CultureInfo.InvariantCulture, template, words[random.Next(words.Length)], $"{words[random.Next(words.Length)]}-{words[random.Next(words.Length)]}", value(random));

    private static string[] WordsOf(string text)
    {
        string[] words = [.. Word().Matches(text).Select(match => match.Value.ToLowerInvariant()).Distinct()];
        return words.Length >= Words.Length ? words : Words;
    }

    private static string Uuid(Random random) => $"{Hex(random, 8)}-{Hex(random, 4)}-{Hex(random, 4)}-{Hex(random, 4)}-{Hex(random, 12)}";

    private static string Hex(Random random, int digits)
    {
        StringBuilder hex = new();
        for (int i = 0; i < digits; i++)
        {
            hex.Append("0123456789abcdef"[random.Next(16)]);
        }

        return hex.ToString();
    }

    [GeneratedRegex(@"\b[A-Za-z]{5,12}\b")]
    private static partial Regex Word();

    [GeneratedRegex(@"[.!?] |\n")]
    private static partial Regex Ends();
}
