using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using EdgeKV.Policies.Configuration;
using EdgeKV.Sessions;

namespace EdgeKV.Cli.Commands;

/// <summary>Options that check their value at once and say what is wrong, what was found and what would be right.</summary>
internal static class OptionParsing
{
    /// <summary>Options of a policy that say what options of commands say: how much of the cache stays.</summary>
    public static IReadOnlyList<string> Budgets { get; } = ["ratio", "rows", "bytes"];

    /// <summary>A whole number within bounds.</summary>
    public static Option<int> WholeNumber(string name, string description, int fallback, int min, int max, string meaning = "") => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => fallback,
        CustomParser = result => int.TryParse(Text(result), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
            && value >= min && value <= max
                ? value
                : Fail(result, $"must be a whole number from {min} to {max}{meaning}", fallback),
    };

    /// <summary>The flag for one JSON object in place of tables.</summary>
    public static Option<bool> Json() => new("--json")
    {
        Description = "One JSON object on standard output",
    };

    /// <summary>Threads of the engine. More than the processors spin in each other's way and may never end.</summary>
    public static Option<int> Threads() => WholeNumber(
        "--threads",
        $"Threads, at most {SessionOptions.MostThreads}, which are this machine's processors; 0: one for each physical core",
        0,
        0,
        SessionOptions.MostThreads,
        ", which are this machine's processors");

    /// <summary>The flag that lets a file of another kind be replaced.</summary>
    /// <param name="output">The option that names the file.</param>
    public static Option<bool> Force(string output) => new("--force")
    {
        Description = $"Replace the file of {output} though it is of another kind; never one that the command reads",
    };

    /// <summary>A whole number of at least 1, or another least; null when the option is not given.</summary>
    public static Option<int?> Count(string name, string description, int least = 1) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result => int.TryParse(Text(result), NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= least
            ? value
            : Fail<int?>(result, $"must be a whole number from {least} to {int.MaxValue}", null),
    };

    /// <summary>A number within bounds.</summary>
    public static Option<double> Number(string name, string description, double fallback, double min, double max, string example) => new(name)
    {
        Description = description,
        HelpName = "X",
        DefaultValueFactory = _ => fallback,
        CustomParser = result => double.TryParse(Text(result), NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && value >= min && value <= max
                ? value
                : Fail(result, string.Create(CultureInfo.InvariantCulture, $"must be a number from {min} to {max}, for example {example}"), fallback),
    };

    /// <summary>A share that is not the whole, 0 to below 1; null when the option is not given.</summary>
    public static Option<double?> Share(string name, string description, string example) => new(name)
    {
        Description = description,
        HelpName = "X",
        CustomParser = result => double.TryParse(Text(result), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value is >= 0 and < 1
            ? value
            : Fail<double?>(result, $"must be a number from 0 to below 1, for example {example}", null),
    };

    /// <summary>Any finite number; null when the option is not given.</summary>
    public static Option<double?> Real(string name, string description, string example) => new(name)
    {
        Description = description,
        HelpName = "X",
        CustomParser = result => double.TryParse(Text(result), NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && double.IsFinite(value)
                ? value
                : Fail<double?>(result, $"must be a number, for example {example}", null),
    };

    /// <summary>A size in bytes; null when the option is not given.</summary>
    public static Option<long?> Size(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "SIZE",
        CustomParser = result => ByteSize.TryParse(Text(result), out long bytes)
            ? bytes
            : Fail<long?>(result, "is not a size; write for example 64MiB, 0.5GiB or 1000000", null),
    };

    /// <summary>One of several words, in any case; the value is the word as it is listed.</summary>
    public static Option<string> Choice(string name, string helpName, string description, string fallback, IReadOnlyList<string> words) => new(name)
    {
        Description = description,
        HelpName = helpName,
        DefaultValueFactory = _ => fallback,
        CustomParser = result => Word(result, words) ?? fallback,
    };

    /// <summary>One of several words, in any case; null when the option is not given.</summary>
    public static Option<string?> Choice(string name, string helpName, string description, IReadOnlyList<string> words) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result => Word(result, words),
    };

    /// <summary>Whole numbers within bounds, with commas between them, each once.</summary>
    public static Option<int[]> WholeNumbers(string name, string description, int[] fallback, int min, int max) => List(
        name,
        "N,N,...",
        description,
        fallback,
        string.Create(CultureInfo.InvariantCulture, $"must be whole numbers from {min} to {max}, each once, for example {string.Join(',', fallback)}"),
        text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max ? value : null);

    /// <summary>Numbers from <paramref name="min"/> to below <paramref name="max"/>, with commas between them, each once.</summary>
    public static Option<double[]> Numbers(string name, string description, double[] fallback, double min, double max) => List(
        name,
        "X,X,...",
        description,
        fallback,
        string.Create(CultureInfo.InvariantCulture, $"must be numbers from {min} to below {max}, each once, for example {string.Join(',', fallback.Select(x => x.ToString(CultureInfo.InvariantCulture)))}"),
        text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value >= min && value < max ? value : null);

    /// <summary>Some of several words, in any case, with commas between them, each once; the values are the words' own.</summary>
    public static Option<T[]> Choices<T>(string name, string helpName, string description, T[] fallback, IReadOnlyDictionary<string, T> words)
        where T : struct => List(
            name,
            helpName,
            description,
            fallback,
            $"must be of {string.Join(", ", words.Keys)}, each once, for example {string.Join(',', words.Keys.Take(2))}",
            text => words.FirstOrDefault(word => word.Key.Equals(text, StringComparison.OrdinalIgnoreCase)) is { Key: not null } found ? found.Value : null);

    private static Option<T[]> List<T>(string name, string helpName, string description, T[] fallback, string wanted, Func<string, T?> read)
        where T : struct => new(name)
        {
            Description = description,
            HelpName = helpName,
            DefaultValueFactory = _ => fallback,
            CustomParser = result =>
            {
                T?[] values = [.. Text(result).Split(',', StringSplitOptions.TrimEntries).Select(read)];
                T[] given = [.. values.OfType<T>()];
                return given.Length == values.Length && given.Distinct().Count() == given.Length ? given : Fail(result, wanted, fallback);
            },
        };

    /// <summary>A policy's name, its options behind a colon; wrong names and values are reported with those there are.</summary>
    public static Option<PolicyOptions> Policy(string name, string description, string fallback) => new(name)
    {
        Description = description,
        HelpName = "NAME[:KEY=VALUE,...]",
        DefaultValueFactory = _ => PolicyOptions.Parse(fallback),
        CustomParser = result =>
        {
            string text = Text(result);
            int colon = text.IndexOf(':', StringComparison.Ordinal);
            string policy = colon < 0 ? text : text[..colon];
            if (!PolicyRegistry.Entries.Any(entry => entry.Name.Equals(policy, StringComparison.OrdinalIgnoreCase)))
            {
                string names = string.Join(", ", PolicyRegistry.Entries.Select(entry => entry.Name));
                return Fail(result, $"is unknown; choose one of {names}", PolicyOptions.Parse(fallback));
            }

            try
            {
                PolicyOptions options = PolicyOptions.Parse(text);

                // Any question will do: only what is wrong with the options matters here.
                options.Create([text]);
                return options;
            }
            catch (ArgumentException e)
            {
                return Fail(result, $"is wrong: {e.Message.Split(" (Parameter '")[0].TrimEnd('.')}", PolicyOptions.Parse(fallback));
            }
        },
    };

    private static string? Word(ArgumentResult result, IReadOnlyList<string> words) =>
        words.FirstOrDefault(word => word.Equals(Text(result), StringComparison.OrdinalIgnoreCase))
        ?? Fail<string?>(result, $"is unknown; choose one of {string.Join(", ", words)}", null);

    private static string Text(ArgumentResult result) => result.Tokens.Count > 0 ? result.Tokens[0].Value : "";

    private static T Fail<T>(ArgumentResult result, string what, T fallback)
    {
        string name = result.Parent is OptionResult option ? option.Option.Name : result.Argument.Name;
        result.AddError($"{name} {Text(result)} {what}.");
        return fallback;
    }
}
