using EdgeKV.Files;

namespace EdgeKV.Models;

/// <summary>Finds the model file to use when a program leaves the choice open.</summary>
public static class ModelLocator
{
    /// <summary>The environment variable that names a model file.</summary>
    public const string Variable = "EDGEKV_MODEL";

    /// <summary>
    /// The first that there is of: <paramref name="path"/>; the file that EDGEKV_MODEL names; <c>models/*.gguf</c> in a folder above the
    /// program or above the current folder; the user's <c>$XDG_DATA_HOME/edgekv/models</c> (else <c>~/.local/share/edgekv/models</c>). Of several
    /// files in a folder the first by name.
    /// </summary>
    /// <param name="path">A file that the user asked for, or null. When one is asked for, here or by the variable, no other is taken.</param>
    /// <returns>The full path.</returns>
    /// <exception cref="ModelException">The file asked for does not exist, or none was found; the message lists where it was looked for.</exception>
    public static string Find(string? path = null) => Find(
        path,
        Environment.GetEnvironmentVariable(Variable),
        LookupFolders.Starts,
        LookupFolders.User("models"));

    internal static string Find(string? path, string? variable, IReadOnlyList<string> starts, string userFolder)
    {
        if (!string.IsNullOrEmpty(path))
        {
            return Existing(path, "The model");
        }

        if (!string.IsNullOrEmpty(variable))
        {
            return Existing(variable, $"The model that {Variable} names");
        }

        List<string> tried = [];
        foreach (string models in LookupFolders.Models(starts))
        {
            tried.Add(models);
            if (FirstIn(models) is { } found)
            {
                return found;
            }
        }

        tried.Add(userFolder);
        return FirstIn(userFolder)
            ?? throw new ModelException(
                $"No model was given and no .gguf file found in: {string.Join(", ", tried)}. Name one with --model or {Variable}.");
    }

    private static string Existing(string path, string what)
    {
        try
        {
            using FileStream file = InputFile.Open(path);
            return Path.GetFullPath(path);
        }
        catch (IOException e)
        {
            throw new ModelException($"{what}, {path}, cannot be read: {e.Message.TrimEnd('.')}.", e);
        }
    }

    private static string? FirstIn(string folder) => Directory.Exists(folder)
        ? Directory.EnumerateFiles(folder, "*.gguf").Order(StringComparer.Ordinal).FirstOrDefault()
        : null;
}
