namespace EdgeKV.Files;

/// <summary>Finds the files of folders that are to be read.</summary>
public static class InputFolder
{
    /// <summary>
    /// The regular files in a folder and in all folders below it. Links are followed, and every file and folder is taken once, however many links lead to it. Pipes, devices and
    /// links to nothing are left out.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <returns>Paths that begin with <paramref name="folder"/>, in the order of their characters. A file's own path is taken rather than a link to it.</returns>
    /// <exception cref="IOException">A folder cannot be listed.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not list a folder.</exception>
    public static IReadOnlyList<string> Files(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        HashSet<(ulong, ulong, string)> seen = [];
        List<string> files = [];

        // Links come last: what they lead to may lie in the folder under its own name.
        PriorityQueue<string, (bool IsLink, int Turn)> left = new([(folder, (false, 0))]);
        for (int turn = 1; left.TryDequeue(out string? path, out _);)
        {
            FileKind kind = FileFacts.Of(path).Kind;
            if (kind is not (FileKind.Regular or FileKind.Folder) || !seen.Add(FileFacts.IdentityOf(path)))
            {
                continue;
            }

            if (kind == FileKind.Regular)
            {
                files.Add(path);
                continue;
            }

            foreach (string entry in Directory.EnumerateFileSystemEntries(path).Order(StringComparer.Ordinal))
            {
                left.Enqueue(entry, (new FileInfo(entry).LinkTarget is not null, turn++));
            }
        }

        return [.. files.Order(StringComparer.Ordinal)];
    }
}
