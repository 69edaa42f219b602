using System.Text.Json;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>
/// A policy and its options by name, as a command line or a configuration gives them. Names are in kebab case; case,
/// hyphens and underscores do not matter. What a policy wraps is an option whose own options follow a dot or a colon: "scorer.window".
/// </summary>
/// <remarks>
/// A budget is one of the options ratio, rows and bytes. A task set is context, repeat, question, window or window-N. What is left out has the
/// record's default. <see cref="Create(IReadOnlyList{string})"/> says what is wrong with a name or a value.
/// </remarks>
public sealed class PolicyOptions
{
    private const string PolicyKey = "policy";

    private readonly Dictionary<string, string> _values;

    private PolicyOptions(string policy, Dictionary<string, string> values)
    {
        Policy = PolicyRegistry.Find(policy).Name;
        _values = values;
    }

    /// <summary>The policy's name, one of <see cref="PolicyRegistry.Entries"/>.</summary>
    public string Policy { get; }

    /// <summary>What was given, by name.</summary>
    public IReadOnlyDictionary<string, string> Values => _values;

    /// <summary>Reads for example "snapkv", "snapkv:window=32,kernel=7" or "ada:scorer=tova,alpha=0.1".</summary>
    /// <param name="text">A policy's name; its options may follow a colon.</param>
    /// <exception cref="ArgumentException">There is no such policy, or the text is not written like that.</exception>
    public static PolicyOptions Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        string policy = colon < 0 ? text : text[..colon];
        List<KeyValuePair<string, string?>> values = [KeyValuePair.Create<string, string?>(PolicyKey, policy)];
        foreach (string option in colon < 0 ? [] : text[(colon + 1)..].Split(',', StringSplitOptions.TrimEntries))
        {
            int equals = option.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1)
            {
                throw new ArgumentException($"Policy {policy}: '{option}' is no option; write NAME=VALUE, several with commas between them.", nameof(text));
            }

            values.Add(KeyValuePair.Create<string, string?>(option[..equals].TrimEnd(), option[(equals + 1)..].TrimStart()));
        }

        return From(values);
    }

    /// <summary>Reads names and values, such as a section of a configuration: "policy" names the policy, the others are its options.</summary>
    /// <param name="values">Names and values; those of null are left out. A wrapped policy is "scorer", or "scorer:policy" as in nested sections.</param>
    /// <exception cref="ArgumentException">No policy or an unknown one is named, or a name comes twice.</exception>
    public static PolicyOptions From(IEnumerable<KeyValuePair<string, string?>> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        string? policy = null;
        Dictionary<string, string> options = new(StringComparer.OrdinalIgnoreCase);
        foreach ((string given, string? value) in values)
        {
            string name = given.Replace(':', '.');
            if (value is null)
            {
                continue;
            }

            if (name.Equals(PolicyKey, StringComparison.OrdinalIgnoreCase) && policy is null)
            {
                policy = value;
                continue;
            }

            // "scorer.policy" in nested sections is "scorer".
            const string Nested = $".{PolicyKey}";
            name = name.EndsWith(Nested, StringComparison.OrdinalIgnoreCase) ? name[..^Nested.Length] : name;
            if (!options.TryAdd(name, value))
            {
                throw new ArgumentException($"Option '{given}' is given twice.", nameof(values));
            }
        }

        return new PolicyOptions(
            policy ?? throw new ArgumentException($"No '{PolicyKey}' is named; there are {string.Join(", ", PolicyRegistry.Entries.Select(entry => entry.Name))}.", nameof(values)),
            options);
    }

    /// <summary>Reads for example {"policy": "snapkv", "window": 32} or {"policy": "ada", "scorer": {"policy": "tova"}}.</summary>
    /// <param name="json">An object; values are text, numbers, true, false or objects, null is left out.</param>
    /// <exception cref="ArgumentException">It is no such object, no policy or an unknown one is named, or a name comes twice.</exception>
    public static PolicyOptions From(JsonElement json)
    {
        List<KeyValuePair<string, string?>> values = [];
        Flatten(json, string.Empty, values);
        return From(values);
    }

    /// <summary>Whether options say what "global" ranks rows by: <see cref="PolicyResolver"/> has nothing to choose then.</summary>
    public bool ChooseScores => Has("source") || Has("task-set");

    /// <summary>Whether an option is given.</summary>
    /// <param name="name">For example "task-set".</param>
    public bool Has(string name) => Value(name) is not null;

    /// <summary>What is given for an option; null: nothing.</summary>
    /// <param name="name">For example "task-set".</param>
    public string? Value(string name) => _values.FirstOrDefault(given => OptionName.Plain(given.Key) == OptionName.Plain(name)).Value;

    /// <summary>The same with one more option, or another value of one that is given.</summary>
    /// <param name="name">For example "task-set".</param>
    /// <param name="value">Its value.</param>
    public PolicyOptions With(string name, string value)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(value);
        IEnumerable<KeyValuePair<string, string>> others = _values.Where(given => OptionName.Plain(given.Key) != OptionName.Plain(name));
        Dictionary<string, string> values = new(others, StringComparer.OrdinalIgnoreCase)
        {
            [name] = value,
        };
        return new PolicyOptions(Policy, values);
    }

    /// <summary>Makes the policy.</summary>
    /// <param name="questions">What a task set "question" asks; null: there is no such task set.</param>
    /// <exception cref="ArgumentException">
    /// An option is unknown, a value is wrong or options contradict each other; the message names what there is.
    /// </exception>
    public ICompressionPolicy Create(IReadOnlyList<string>? questions = null) => Create(questions, tasks: null, budget: null);

    /// <inheritdoc cref="Create(IReadOnlyList{string})"/>
    /// <param name="questions">What a task set "question" asks; null: there is no such task set.</param>
    /// <param name="tasks">A task set in place of the policy's own; null: none is given.</param>
    /// <param name="budget">A budget in place of the options'; null: none is given.</param>
    internal ICompressionPolicy Create(IReadOnlyList<string>? questions, TaskSet? tasks, Budget? budget)
    {
        ICompressionPolicy policy = PolicyRegistry.Find(Policy).Bind(_values, questions, isWrapped: false, tasks, budget).Policy;

        // Refuses options that contradict each other; what lacks tables says so when it has seen the model's profile.
        _ = ICalibratedPolicy.MissingOf(policy).Count > 0 ? null : policy.Request;
        return policy;
    }

    /// <summary>As <see cref="Parse"/> reads it.</summary>
    public override string ToString() =>
        _values.Count == 0 ? Policy : $"{Policy}:{string.Join(',', _values.Select(option => $"{option.Key}={option.Value}"))}";

    private static void Flatten(JsonElement json, string prefix, List<KeyValuePair<string, string?>> values)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw new ArgumentException($"A policy is an object such as {{\"policy\": \"snapkv\", \"window\": 32}}, not {json.ValueKind}.", nameof(json));
        }

        foreach (JsonProperty property in json.EnumerateObject())
        {
            string name = prefix + property.Name;
            switch (property.Value.ValueKind)
            {
                case JsonValueKind.Null:
                    break;
                case JsonValueKind.Object:
                    Flatten(property.Value, $"{name}.", values);
                    break;
                case JsonValueKind.String:
                    values.Add(KeyValuePair.Create<string, string?>(name, property.Value.GetString()));
                    break;
                case JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False:
                    values.Add(KeyValuePair.Create<string, string?>(name, property.Value.GetRawText()));
                    break;
                default:
                    throw new ArgumentException($"Option '{name}' is text, a number, true, false or an object, not {property.Value.ValueKind}.", nameof(json));
            }
        }
    }
}
