using System.Globalization;
using System.Reflection;
using System.Text;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>
/// Sets the options of a policy's record by name: its public init properties in kebab case, and the budget as ratio, rows or bytes. Ranges are the
/// record's own: what it says of a value is passed on. Properties that have no text, such as a calibration, are given in code only.
/// </summary>
internal sealed class OptionBinder
{
    // Queries of a window task set whose length is not given, as SnapKV's window.
    private const int WindowTokens = 64;

    private static readonly string[] BudgetNames = ["ratio", "rows", "bytes"];

    private readonly PropertyInfo _budget;
    private readonly PropertyInfo[] _properties;

    public OptionBinder(Type policy)
    {
        PropertyInfo[] all =
        [
            .. policy.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(property => property.SetMethod is { IsPublic: true }),
        ];
        _budget = all.Single(property => property.PropertyType == typeof(Budget));
        _properties =
        [
            .. all.Where(property => property != _budget && property.Name != nameof(Budget.Ratio) && Kind(property.PropertyType) is not null),
        ];
    }

    /// <summary>All options with their defaults.</summary>
    public IReadOnlyList<PolicyOption> Describe(ICompressionPolicy policy) =>
    [
        new("ratio", Kind(typeof(double))!, Text(policy.Budget.Ratio)),
        new("rows", Kind(typeof(int))!, Text(policy.Budget.Rows)),
        new("bytes", Kind(typeof(long))!, Text(policy.Budget.Bytes)),
        .. _properties.Select(property => new PolicyOption(Kebab(property.Name), Kind(property.PropertyType)!, Text(property.GetValue(policy)))),
    ];

    /// <summary>Sets options on a policy that nobody else has yet.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="options">Names, those of what a policy wraps behind a dot, and values.</param>
    /// <param name="questions">What a task set "question" asks; null: nothing.</param>
    /// <param name="isWrapped">Whether another policy wraps it: a budget is then no option.</param>
    /// <exception cref="ArgumentException">A name is unknown, or a value is wrong.</exception>
    public void Set(
        ICompressionPolicy policy, string name, IReadOnlyDictionary<string, string> options, IReadOnlyList<string>? questions, bool isWrapped)
    {
        string? budget = null;
        foreach (IGrouping<string, KeyValuePair<string, string>> group in options.GroupBy(option => Plain(option.Key.Split('.')[0])))
        {
            string first = group.First().Key;
            KeyValuePair<string, string>[] own = [.. group.Where(option => !option.Key.Contains('.', StringComparison.Ordinal))];
            bool hasNested = own.Length < group.Count();
            if (own.Length > 1)
            {
                throw new ArgumentException($"Policy {name}: option '{own[1].Key}' is given twice.");
            }

            if (!isWrapped && !hasNested && BudgetNames.Contains(group.Key))
            {
                budget = budget is null
                    ? group.Key
                    : throw new ArgumentException($"Policy {name}: {budget} and {group.Key} exclude each other; give one of them.");
                Assign(policy, _budget, name, group.Key, own[0].Value, () => BudgetOf(group.Key, own[0].Value));
                continue;
            }

            PropertyInfo? property = _properties.FirstOrDefault(property => Plain(property.Name) == group.Key);
            if (property is null || (hasNested && !IsPolicy(property.PropertyType)))
            {
                string[] names = [.. isWrapped ? [] : BudgetNames, .. _properties.Select(property => Kebab(property.Name))];
                throw new ArgumentException(
                    $"Policy {name} has no option '{first}'; {(names.Length > 0 ? $"it has {string.Join(", ", names)}" : "it has none")}.");
            }

            string option = Kebab(property.Name);
            string value = own.Length > 0 ? own[0].Value : Text(property.GetValue(policy))!;
            if (IsPolicy(property.PropertyType))
            {
                Dictionary<string, string> nested = new(
                    group.Except(own).Select(pair => KeyValuePair.Create(pair.Key[(pair.Key.IndexOf('.', StringComparison.Ordinal) + 1)..], pair.Value)));
                Assign(policy, property, name, option, value, () => Wrapped(property.PropertyType, value, nested, questions));
            }
            else
            {
                Assign(policy, property, name, option, value, () => Parse(property.PropertyType, value, questions));
            }
        }
    }

    /// <summary>An option's name as people may write it: without case, hyphens and underscores.</summary>
    public static string Plain(string name) =>
        name.Replace("-", null, StringComparison.Ordinal).Replace("_", null, StringComparison.Ordinal).ToLowerInvariant();

    // What is wrong with a value is said by whoever reads it or refuses it; here it is said which option it was.
    private static void Assign(ICompressionPolicy policy, PropertyInfo property, string name, string option, string text, Func<object> read)
    {
        try
        {
            property.SetValue(policy, read());
        }
        catch (TargetInvocationException e) when (e.InnerException is ArgumentException refused)
        {
            throw Wrong(refused);
        }
        catch (ArgumentException e)
        {
            throw Wrong(e);
        }

        // Without the name of a parameter that nobody typed.
        ArgumentException Wrong(ArgumentException inner) => new(
            $"Policy {name}: {option}={text}: {inner.Message.Split(" (Parameter '")[0]}", inner);
    }

    private static object Wrapped(Type type, string value, Dictionary<string, string> options, IReadOnlyList<string>? questions)
    {
        PolicyEntry entry = PolicyRegistry.Find(value);
        return type != typeof(IRowScorer) || entry.ScoresRows
            ? entry.Bind(options, questions, isWrapped: true)
            : throw new ArgumentException(
                $"{entry.Name} does not score rows; {string.Join(", ", PolicyRegistry.Entries.Where(other => other.ScoresRows).Select(other => other.Name))} do.");
    }

    private static Budget BudgetOf(string name, string text) => name switch
    {
        "ratio" => Budget.FromRatio((double)Parse(typeof(double), text, questions: null)),
        "rows" => Budget.FromRows((int)Parse(typeof(int), text, questions: null)),
        _ => Budget.FromBytes((long)Parse(typeof(long), text, questions: null)),
    };

    private static object Parse(Type type, string text, IReadOnlyList<string>? questions)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        CultureInfo culture = CultureInfo.InvariantCulture;
        return type switch
        {
            _ when type == typeof(int) => int.TryParse(text, NumberStyles.AllowLeadingSign, culture, out int whole) ? whole : throw NotA("whole number"),
            _ when type == typeof(long) => long.TryParse(text, NumberStyles.AllowLeadingSign, culture, out long whole) ? whole : throw NotA("whole number"),
            _ when type == typeof(double) => double.TryParse(text, NumberStyles.Float, culture, out double real) ? real : throw NotA("number"),
            _ when type == typeof(bool) => bool.TryParse(text, out bool flag) ? flag : throw new ArgumentException("must be true or false."),
            _ when type == typeof(TaskSet) => Tasks(text, questions),
            _ when type == typeof(DuoAttentionGates) => Gates(text),
            { IsEnum: true } => Enum.GetValues(type).Cast<object>().FirstOrDefault(word => Plain(word.ToString()!) == Plain(text))
                ?? throw new ArgumentException($"must be one of {Words(type)}."),
            _ => throw new NotSupportedException($"Options of type {type.Name} have no text."),
        };

        static ArgumentException NotA(string what) => new($"must be a {what}.");
    }

    private static TaskSet Tasks(string text, IReadOnlyList<string>? questions)
    {
        const string Window = "window-";
        return text.ToLowerInvariant() switch
        {
            "context" => TaskSet.Context,
            "repeat" => TaskSet.Repeat,
            "window" => TaskSet.Window(WindowTokens),
            "question" => questions is null ? throw new ArgumentException("There is no question here.") : TaskSet.Question(questions),
            var window when window.StartsWith(Window, StringComparison.Ordinal) => TaskSet.Window((int)Parse(typeof(int), window[Window.Length..], questions)),
            _ => throw new ArgumentException("must be one of context, repeat, question, window, or window-N for the last N queries."),
        };
    }

    private static DuoAttentionGates Gates(string file)
    {
        try
        {
            return DuoAttentionGates.Load(file);
        }
        catch (ProfileException e)
        {
            throw new ArgumentException(e.Message, e);
        }
    }

    private static bool IsPolicy(Type type) => type == typeof(IRowScorer) || type == typeof(ICompressionPolicy);

    // What a value of a type is called; null: it has no text.
    private static string? Kind(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type switch
        {
            _ when type == typeof(int) || type == typeof(long) => "whole number",
            _ when type == typeof(double) => "number",
            _ when type == typeof(bool) => "true, false",
            _ when type == typeof(TaskSet) => "context, repeat, question, window, window-N",
            _ when type == typeof(DuoAttentionGates) => "file",
            _ when IsPolicy(type) => "policy",
            { IsEnum: true } => Words(type),
            _ => null,
        };
    }

    private static string? Text(object? value) => value switch
    {
        null => null,
        bool flag => flag ? "true" : "false",
        Enum word => Kebab(word.ToString()),
        WindowTaskSet window => $"window-{window.Tokens}",
        TaskSet tasks => tasks.Name,
        DuoAttentionGates gates => gates.ToString(),
        IRowScorer scorer => scorer.Name,
        ICompressionPolicy policy => policy.Name,
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => throw new NotSupportedException($"Options of type {value.GetType().Name} have no text."),
    };

    private static string Words(Type type) => string.Join(", ", Enum.GetNames(type).Select(Kebab));

    private static string Kebab(string name)
    {
        var kebab = new StringBuilder();
        foreach (char letter in name)
        {
            if (char.IsUpper(letter) && kebab.Length > 0)
            {
                kebab.Append('-');
            }

            kebab.Append(char.ToLowerInvariant(letter));
        }

        return kebab.ToString();
    }
}
