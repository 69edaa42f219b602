using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using EdgeKV.Evaluation;
using EdgeKV.Policies.Configuration;

namespace EdgeKV.Cli.Commands;

/// <summary>How lists of the options of <c>eval</c> are read.</summary>
internal static class EvalParsing
{
    /// <summary>Several policies with options, separated by commas as options are.</summary>
    public static IReadOnlyList<PolicyOptions> Policies(ArgumentResult result)
    {
        // A piece with a value but no policy's name goes with the piece before.
        List<string> texts = [];
        foreach (string piece in Pieces(result))
        {
            int equals = piece.IndexOf('=', StringComparison.Ordinal);
            int colon = piece.IndexOf(':', StringComparison.Ordinal);
            if (equals >= 0 && (colon < 0 || colon > equals) && texts.Count > 0)
            {
                texts[^1] += "," + piece;
            }
            else
            {
                texts.Add(piece);
            }
        }

        List<PolicyOptions> policies = [];
        foreach (string text in texts)
        {
            try
            {
                PolicyOptions options = PolicyOptions.Parse(text);
                options.Create([text]);
                if (OptionParsing.Budgets.FirstOrDefault(options.Has) is { } budget)
                {
                    result.AddError($"--policies {options.Policy}:{budget} says what --ratios and --rows say; leave it out.");
                    return [];
                }

                policies.Add(options);
            }
            catch (ArgumentException e)
            {
                result.AddError($"--policies {text} is wrong: {e.Message.Split(" (Parameter '")[0]}");
                return [];
            }
        }

        return [.. policies.DistinctBy(policy => policy.ToString())];
    }

    /// <summary>Lengths of generated contexts.</summary>
    public static IReadOnlyList<int> Lengths(ArgumentResult result)
    {
        List<int> lengths = [];
        foreach (string piece in Pieces(result))
        {
            if (!int.TryParse(piece, NumberStyles.None, CultureInfo.InvariantCulture, out int length) || length < 1)
            {
                result.AddError($"--lengths {piece} is wrong; write for example 1024,4096.");
                return [];
            }

            lengths.Add(length);
        }

        return [.. lengths.Distinct()];
    }

    /// <summary>Names of generated tasks.</summary>
    public static string[] Tasks(ArgumentResult result)
    {
        string[] tasks = [.. Pieces(result).Distinct()];
        if (tasks.FirstOrDefault(task => !SyntheticOptions.AllTasks.Contains(task)) is { } unknown)
        {
            result.AddError($"--tasks {unknown} is unknown; choose of {string.Join(", ", SyntheticOptions.AllTasks)}.");
        }

        return tasks;
    }

    private static string[] Pieces(ArgumentResult result) =>
        string.Join(',', result.Tokens.Select(token => token.Value)).Split(',', StringSplitOptions.TrimEntries);

    /// <summary>An option that takes several budgets.</summary>
    public static Option<IReadOnlyList<EvalBudget>> Budgets(
        string name, string description, IReadOnlyList<EvalBudget> fallback, string example, Func<string, EvalBudget?> parse) => new(name)
        {
            Description = description,
            HelpName = "X,...",
            DefaultValueFactory = _ => fallback,
            CustomParser = result =>
            {
                List<EvalBudget> budgets = [];
                foreach (string piece in Pieces(result))
                {
                    if (parse(piece) is not { } budget)
                    {
                        result.AddError($"{name} {piece} is wrong; write for example {example}.");
                        return [];
                    }

                    budgets.Add(budget);
                }

                return [.. budgets.Distinct().Order()];
            },
        };

    /// <summary>A budget by ratio; null: it is wrong.</summary>
    public static EvalBudget? Ratio(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double ratio) && ratio is >= 0 and < 1
            ? EvalBudget.OfRatio(ratio)
            : null;

    /// <summary>A budget in rows; null: it is wrong.</summary>
    public static EvalBudget? Rows(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int rows) && rows >= 1 ? EvalBudget.OfRows(rows) : null;
}
