namespace EdgeKV.Models;

/// <summary>Where models and profiles are looked for when nobody says where they are.</summary>
internal static class LookupFolders
{
    /// <summary>Where looking for a checkout begins: the program's folder and the current one.</summary>
    public static IReadOnlyList<string> Starts => [AppContext.BaseDirectory, Environment.CurrentDirectory];

    /// <summary>The folders <c>models</c> that there may be beside or above the given ones, each once, the nearest first.</summary>
    public static IEnumerable<string> Models(IReadOnlyList<string> starts)
    {
        HashSet<string> seen = [];
        foreach (string start in starts)
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                string models = Path.Combine(folder.FullName, "models");
                if (seen.Add(models))
                {
                    yield return models;
                }
            }
        }
    }

    /// <summary>The user's own folder of a kind: <c>$XDG_DATA_HOME/edgekv/KIND</c>, else <c>~/.local/share/edgekv/KIND</c>.</summary>
    public static string User(string kind) =>
        User(kind, Environment.GetEnvironmentVariable("XDG_DATA_HOME"), Environment.GetFolderPath(Environment.SpecialFolder.UserProfile));

    /// <inheritdoc cref="User(string)"/>
    public static string User(string kind, string? dataHome, string home) => Path.Combine(
        string.IsNullOrEmpty(dataHome) ? Path.Combine(home, ".local", "share") : dataHome,
        "edgekv",
        kind);
}
