namespace EdgeKV.Policies.Configuration;

/// <summary>What was given for a setting.</summary>
/// <param name="Value">Its text.</param>
/// <param name="Nested">Options of the policy that it names, by name.</param>
/// <param name="Questions">What a task set "question" asks; null: nothing.</param>
internal sealed record SettingText(string Value, IReadOnlyDictionary<string, string> Nested, IReadOnlyList<string>? Questions);
