using System.Globalization;
using EdgeKV.Planning;

namespace EdgeKV.Policies.Configuration;

/// <summary>Sets options by name on what makes a policy, and reads its budget as ratio, rows or bytes.</summary>
/// <param name="policy">The policy's name, for messages.</param>
/// <param name="settings">The options beside the budget.</param>
internal sealed class SettingBinder<T>(string policy, IReadOnlyList<PolicySetting<T>> settings)
{
    private static readonly string[] BudgetNames = ["ratio", "rows", "bytes"];

    /// <summary>All options with their defaults.</summary>
    /// <param name="target">What makes the policy, as it is when no option is given.</param>
    /// <param name="budget">Its budget then.</param>
    public IReadOnlyList<PolicyOption> Describe(T target, Budget budget) =>
    [
        new("ratio", "number", budget.Ratio?.ToString(CultureInfo.InvariantCulture)),
        new("rows", "whole number", budget.Rows?.ToString(CultureInfo.InvariantCulture)),
        new("bytes", "whole number", budget.Bytes?.ToString(CultureInfo.InvariantCulture)),
        .. settings.Select(setting => new PolicyOption(setting.Name, setting.Kind, setting.Get(target))),
    ];

    /// <summary>A copy with options, and the budget among them; null: none is given.</summary>
    /// <param name="target">What makes the policy.</param>
    /// <param name="options">Names, those of what a policy wraps behind a dot, and values.</param>
    /// <param name="questions">What a task set "question" asks; null: nothing.</param>
    /// <param name="isWrapped">Whether another policy wraps it: a budget is then no option.</param>
    /// <exception cref="ArgumentException">A name is unknown, or a value is wrong.</exception>
    public (T Target, Budget? Budget) Set(
        T target, IReadOnlyDictionary<string, string> options, IReadOnlyList<string>? questions, bool isWrapped)
    {
        string? given = null;
        Budget? budget = null;
        foreach (IGrouping<string, KeyValuePair<string, string>> group in options.GroupBy(option => OptionName.Plain(option.Key.Split('.')[0])))
        {
            KeyValuePair<string, string>[] own = [.. group.Where(option => !option.Key.Contains('.', StringComparison.Ordinal))];
            bool hasNested = own.Length < group.Count();
            if (own.Length > 1)
            {
                throw new ArgumentException($"Policy {policy}: option '{own[1].Key}' is given twice.");
            }

            if (!isWrapped && !hasNested && BudgetNames.Contains(group.Key))
            {
                given = given is null
                    ? group.Key
                    : throw new ArgumentException($"Policy {policy}: {given} and {group.Key} exclude each other; give one of them.");
                budget = Checked(group.Key, own[0].Value, () => Setting.BudgetOf(group.Key, own[0].Value));
                continue;
            }

            PolicySetting<T>? setting = settings.FirstOrDefault(setting => OptionName.Plain(setting.Name) == group.Key);
            if (setting is null || (hasNested && !setting.IsPolicy))
            {
                string[] names = [.. isWrapped ? [] : BudgetNames, .. settings.Select(setting => setting.Name)];
                throw new ArgumentException(
                    $"Policy {policy} has no option '{group.First().Key}'; {(names.Length > 0 ? $"it has {string.Join(", ", names)}" : "it has none")}.");
            }

            Dictionary<string, string> nested = new(
                group.Except(own).Select(pair => KeyValuePair.Create(pair.Key[(pair.Key.IndexOf('.', StringComparison.Ordinal) + 1)..], pair.Value)));
            string value = own.Length > 0 ? own[0].Value : setting.Get(target)!;
            T before = target;
            target = Checked(setting.Name, value, () => setting.Set(before, new SettingText(value, nested, questions)));
        }

        return (target, budget);
    }

    // What is wrong with a value is said by whoever reads it or refuses it; here it is said which option it was.
    private TValue Checked<TValue>(string option, string text, Func<TValue> read)
    {
        try
        {
            return read();
        }
        catch (ArgumentException e)
        {
            // Without the name of a parameter that nobody typed.
            throw new ArgumentException($"Policy {policy}: {option}={text}: {e.Message.Split(" (Parameter '")[0]}", e);
        }
    }
}
