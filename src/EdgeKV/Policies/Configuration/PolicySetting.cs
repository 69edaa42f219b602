namespace EdgeKV.Policies.Configuration;

/// <summary>An option that can be set by name on what makes a policy.</summary>
/// <typeparam name="T">The policy's record, or a record of its options.</typeparam>
/// <param name="Name">Its name in kebab case.</param>
/// <param name="Kind">What it takes, in words: see <see cref="PolicyOption.Kind"/>.</param>
/// <param name="Get">Its value as it would be written; null: it has none.</param>
/// <param name="Set">A copy with another value. Throws <see cref="ArgumentException"/> for one that is wrong.</param>
internal sealed record PolicySetting<T>(string Name, string Kind, Func<T, string?> Get, Func<T, SettingText, T> Set)
{
    /// <summary>Whether it names a policy, which has options of its own.</summary>
    public bool IsPolicy { get; init; }
}
