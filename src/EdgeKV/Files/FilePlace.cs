namespace EdgeKV.Files;

/// <summary>Where a path leads when every link in it is followed, those of its folders too.</summary>
internal static class FilePlace
{
    // As many as Linux follows.
    private const int MostLinks = 40;

    /// <summary>The path without links. What is not there stays as it is spelled.</summary>
    /// <param name="path">The path.</param>
    /// <returns>
    /// The path, and whether it is a stream of this process such as /dev/stdout. A file that takes the process's output must not be replaced behind its back, so such a link is
    /// not followed.
    /// </returns>
    /// <exception cref="IOException">The links lead in a circle.</exception>
    public static (string Path, bool IsOwnStream) Of(string path)
    {
        Stack<string> left = [];
        string place = Begin(Path.GetFullPath(path), left);
        for (int links = 0; left.TryPop(out string? name);)
        {
            if (place is "/proc/self/fd" or "/dev/fd")
            {
                return (Path.Combine(place, name), true);
            }

            string next = name switch
            {
                "" or "." => place,

                // Behind a link, this is the folder above where the link leads.
                ".." => Path.GetDirectoryName(place) ?? place,
                _ => Path.Combine(place, name),
            };
            if (next == "/proc/self" || new FileInfo(next).LinkTarget is not { } link)
            {
                place = next;
            }
            else
            {
                links++;
                place = links > MostLinks ? throw new IOException("Its symbolic links lead in a circle.")
                    : Path.IsPathRooted(link) ? Begin(link, left)
                    : Push(place, link, left);
            }
        }

        return (place, false);
    }

    private static string Begin(string path, Stack<string> left)
    {
        string root = Path.GetPathRoot(path)!;
        return Push(root, path[root.Length..], left);
    }

    private static string Push(string place, string path, Stack<string> left)
    {
        foreach (string name in path.Split(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar).Reverse())
        {
            left.Push(name);
        }

        return place;
    }
}
