using EdgeKV.Cli.Commands;

namespace EdgeKV.Cli;

/// <summary>Commands that messages tell the user to run, written so that they can be copied into a shell.</summary>
internal static class Hints
{
    /// <summary>The command that makes a model's profile, or adds a table to it.</summary>
    /// <param name="model">The model file.</param>
    /// <param name="table">The table; null: none in particular.</param>
    public static string Calibrate(string model, string? table = null) =>
        Command([CommandLineApp.Name, "calibrate", AsPath(model), .. table is null ? [] : (string[])["--for", table]]);

    /// <summary>A command line of these words.</summary>
    /// <param name="words">The program and its arguments.</param>
    public static string Command(params IEnumerable<string> words) => string.Join(' ', words.Select(word => Quote(word, OperatingSystem.IsWindows())));

    /// <summary>One word, quoted where the shell would read it otherwise.</summary>
    /// <param name="word">The word.</param>
    /// <param name="windows">Whether it is for Windows: double quotes, else the POSIX shell's single ones.</param>
    internal static string Quote(string word, bool windows)
    {
        const string Plain = "/._-+=:,@%";
        if (word.Length > 0 && word.All(letter => char.IsLetterOrDigit(letter) || Plain.Contains(letter) || (windows && letter == '\\')))
        {
            return word;
        }

        return windows ? $"\"{word.Replace("\"", "\\\"", StringComparison.Ordinal)}\"" : $"'{word.Replace("'", @"'\''", StringComparison.Ordinal)}'";
    }

    // A file whose name begins with a dash is no option.
    private static string AsPath(string path) => path.StartsWith('-') ? Path.Combine(".", path) : path;
}
