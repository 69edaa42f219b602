using EdgeKV.Models;

namespace EdgeKV.Profiles;

/// <summary>Finds a model's profile when nobody names one, and says where a new one goes.</summary>
/// <remarks>A profile is called like its model file, with <see cref="ScoreProfile.Extension"/> in place of .gguf.</remarks>
public static class ProfileLocator
{
    private const string Kind = "profiles";

    /// <summary>
    /// The first that there is of: the profile beside the model file; in <c>models/</c> in a folder above the program or above the current
    /// folder; in the user's <c>$XDG_DATA_HOME/edgekv/profiles</c> (else <c>~/.local/share/edgekv/profiles</c>). It is not opened:
    /// <c>EdgeModel.Profile</c> says when it is damaged or another model's.
    /// </summary>
    /// <param name="modelPath">The model file.</param>
    /// <returns>The full path, or null when there is none.</returns>
    public static string? Find(string modelPath) => Find(modelPath, LookupFolders.Starts, LookupFolders.User(Kind));

    /// <summary>
    /// Where a new profile goes, so that <see cref="Find(string)"/> finds it: beside the model file where that folder can be written, else the
    /// user's own folder, which <see cref="ScoreProfile.Save"/> makes.
    /// </summary>
    /// <param name="modelPath">The model file.</param>
    /// <returns>The full path; there may be a profile already.</returns>
    public static string DefaultPath(string modelPath) => DefaultPath(modelPath, LookupFolders.User(Kind));

    internal static string? Find(string modelPath, IReadOnlyList<string> starts, string userFolder)
    {
        string name = NameOf(modelPath);
        return LookupFolders.Models(starts)
            .Append(userFolder)
            .Select(folder => Path.Combine(folder, name))
            .Prepend(Beside(modelPath))
            .FirstOrDefault(File.Exists);
    }

    internal static string DefaultPath(string modelPath, string userFolder)
    {
        string beside = Beside(modelPath);
        return IsWritable(Path.GetDirectoryName(beside)!) ? beside : Path.Combine(userFolder, NameOf(modelPath));
    }

    private static string Beside(string modelPath) => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(modelPath))!, NameOf(modelPath));

    private static string NameOf(string modelPath)
    {
        const string Gguf = ".gguf";
        string name = Path.GetFileName(modelPath);
        return (name.EndsWith(Gguf, StringComparison.OrdinalIgnoreCase) ? name[..^Gguf.Length] : name) + ScoreProfile.Extension;
    }

    // Only writing tells: permissions, read-only file systems and quotas all have a say.
    private static bool IsWritable(string folder)
    {
        try
        {
            string probe = Path.Combine(folder, $".edgekv-{Guid.NewGuid():n}");
            using FileStream file = new(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
