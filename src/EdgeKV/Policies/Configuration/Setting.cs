using System.Globalization;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>
/// Makes <see cref="PolicySetting{T}"/> of each type that options have. Ranges are the record's own: what it says of a value is passed on.
/// </summary>
internal static class Setting
{
    // Queries of a window task set whose length is not given, as SnapKV's window.
    private const int WindowTokens = 64;

    private static readonly CultureInfo Culture = CultureInfo.InvariantCulture;

    /// <summary>A whole number.</summary>
    public static PolicySetting<T> Whole<T>(string name, Func<T, int?> get, Func<T, int, T> set) =>
        new(name, "whole number", target => get(target)?.ToString(Culture), (target, given) => set(target, WholeNumber(given.Value)));

    /// <summary>A number.</summary>
    public static PolicySetting<T> Number<T>(string name, Func<T, double?> get, Func<T, double, T> set) =>
        new(name, "number", target => get(target)?.ToString(Culture), (target, given) => set(target, Real(given.Value)));

    /// <summary>True or false.</summary>
    public static PolicySetting<T> Flag<T>(string name, Func<T, bool> get, Func<T, bool, T> set) => new(
        name,
        "true, false",
        target => get(target) ? "true" : "false",
        (target, given) => set(target, bool.TryParse(given.Value, out bool flag) ? flag : throw new ArgumentException("must be true or false.")));

    /// <summary>One of some words.</summary>
    public static PolicySetting<T> Word<T, TWord>(string name, Func<T, TWord> get, Func<T, TWord, T> set)
        where TWord : struct, Enum
    {
        string words = string.Join(", ", Enum.GetNames<TWord>().Select(OptionName.Kebab));
        return new(
            name,
            words,
            target => OptionName.Kebab(get(target).ToString()),
            (target, given) =>
            {
                foreach (TWord word in Enum.GetValues<TWord>())
                {
                    if (OptionName.Plain(word.ToString()) == OptionName.Plain(given.Value))
                    {
                        return set(target, word);
                    }
                }

                throw new ArgumentException($"must be one of {words}.");
            });
    }

    /// <summary>A task set.</summary>
    public static PolicySetting<T> Tasks<T>(string name, Func<T, TaskSet> get, Func<T, TaskSet, T> set) => new(
        name,
        "context, repeat, question, window, window-N",
        target => get(target) is WindowTaskSet window ? $"window-{window.Tokens}" : get(target).Name,
        (target, given) => set(target, TaskSetOf(given.Value, given.Questions)));

    /// <summary>A file.</summary>
    public static PolicySetting<T> File<T>(string name, Func<T, string?> get, Func<T, string, T> set) => new(
        name,
        "file",
        get,
        (target, given) =>
        {
            try
            {
                return set(target, given.Value);
            }
            catch (ProfileException e)
            {
                throw new ArgumentException(e.Message, e);
            }
        });

    /// <summary>A policy that scores rows.</summary>
    /// <param name="name">The option's name.</param>
    /// <param name="fallback">The name of the policy that stands for the scorer that is there when none is given.</param>
    /// <param name="set">A copy with another scorer.</param>
    public static PolicySetting<T> Scorer<T>(string name, string fallback, Func<T, IRowScorer, T> set)
    {
        return new(name, "policy", _ => fallback, Set) { IsPolicy = true };

        T Set(T target, SettingText given)
        {
            PolicyEntry entry = PolicyRegistry.Find(given.Value);
            return set(target, entry.Bind(given.Nested, given.Questions, isWrapped: true).Scorer ?? throw new ArgumentException(
                $"{entry.Name} does not score rows; {string.Join(", ", PolicyRegistry.Entries.Where(other => other.ScoresRows).Select(other => other.Name))} do."));
        }
    }

    /// <summary>A policy.</summary>
    public static PolicySetting<T> Policy<T>(string name, Func<T, ICompressionPolicy> get, Func<T, ICompressionPolicy, T> set)
    {
        return new(name, "policy", target => get(target).Name, Set) { IsPolicy = true };

        T Set(T target, SettingText given) =>
            set(target, PolicyRegistry.Find(given.Value).Bind(given.Nested, given.Questions, isWrapped: true).Policy);
    }

    /// <summary>A budget by the name of how it is given: "ratio", "rows" or "bytes".</summary>
    /// <exception cref="ArgumentException">The value is wrong.</exception>
    public static Budget BudgetOf(string name, string text) => name switch
    {
        "ratio" => Budget.FromRatio(Real(text)),
        "rows" => Budget.FromRows(WholeNumber(text)),
        _ => Budget.FromBytes(long.TryParse(text, NumberStyles.AllowLeadingSign, Culture, out long bytes) ? bytes : throw NotA("whole number")),
    };

    private static int WholeNumber(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, Culture, out int whole) ? whole : throw NotA("whole number");

    private static double Real(string text) => double.TryParse(text, NumberStyles.Float, Culture, out double real) ? real : throw NotA("number");

    private static ArgumentException NotA(string what) => new($"must be a {what}.");

    private static TaskSet TaskSetOf(string text, IReadOnlyList<string>? questions)
    {
        const string Window = "window-";
        return text.ToLowerInvariant() switch
        {
            "context" => TaskSet.Context,
            "repeat" => TaskSet.Repeat,
            "window" => TaskSet.Window(WindowTokens),
            "question" => questions is null ? throw new ArgumentException("There is no question here.") : TaskSet.Question(questions),
            var window when window.StartsWith(Window, StringComparison.Ordinal) => TaskSet.Window(WholeNumber(window[Window.Length..])),
            _ => throw new ArgumentException("must be one of context, repeat, question, window, or window-N for the last N queries."),
        };
    }
}
