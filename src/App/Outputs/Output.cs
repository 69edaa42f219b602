using EdgeKV.Files;

namespace EdgeKV.Cli.Outputs;

/// <summary>
/// A file that a command is to write. It may be new, empty, or of its own kind, told by its content. An input is never replaced, whatever its name or links.
/// </summary>
/// <param name="Path">The file.</param>
/// <param name="Kind">What it will be.</param>
/// <param name="Option">The option that names it.</param>
internal sealed record Output(string Path, OutputKind Kind, string Option)
{
    /// <summary>Whether <c>--force</c> was given: a file of another kind is replaced too.</summary>
    public bool Force { get; init; }

    /// <summary>Whether a pipe or a terminal will do. It will not where other files go beside it.</summary>
    public bool MayPass { get; init; }

    /// <summary>The remedy beside naming another file; null: --force.</summary>
    public string? Remedy { get; init; }

    /// <summary>Finds out before any work whether the file can be written and destroys nothing.</summary>
    /// <param name="inputs">What the command reads, files and folders, by what messages call it.</param>
    /// <exception cref="CommandException">It would replace an input or a file of another kind.</exception>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public void Ensure(params IEnumerable<(string Name, string? Path)> inputs)
    {
        (string Name, string Path)[] given = [.. inputs.Where(input => input.Path is not null).Select(input => (input.Name, input.Path!))];
        if (given.FirstOrDefault(input => OutputFile.AreSame(Path, input.Path)) is { Name: { } same })
        {
            throw Refused($"is also {same}, which would be lost; name another file with {Option}");
        }

        bool isRegular = OutputFile.IsRegular(Path);
        if (isRegular && HasContent() && !Kind.Is(Path))
        {
            if (given.FirstOrDefault(input => OutputFile.LiesIn(Path, input.Path) || IsReadWith(Path, input.Path)) is { Name: { } folder })
            {
                throw Refused($"is a file in {folder}, which would be lost; name another file with {Option}");
            }

            if (!Force)
            {
                throw Refused($"is not {Kind.Name}, and would be lost; name another file with {Option}, or {Remedy ?? "replace it with --force"}");
            }
        }

        if (!isRegular && !MayPass && !OutputFile.IsNothing(Path) && !Directory.Exists(Path))
        {
            throw Refused($"is not a regular file; name one with {Option}");
        }

        OutputFile.EnsureWritable(Path);
    }

    /// <summary>Whether a path leads to a file that is read with a folder, in which a link to it may lie.</summary>
    /// <param name="path">The path; it may lead to nothing.</param>
    /// <param name="folder">The folder; a file has no files in it.</param>
    public static bool IsReadWith(string path, string folder)
    {
        try
        {
            return !OutputFile.IsNothing(path) && Directory.Exists(folder) && InputFolder.Files(folder).Any(file => OutputFile.AreSame(path, file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What cannot be listed is not read either; whoever reads it says so.
            return false;
        }
    }

    // FileInfo tells the length of a link, not of its file.
    private bool HasContent()
    {
        try
        {
            using FileStream file = File.OpenRead(Path);
            return file.Length > 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    private CommandException Refused(string what) => new(ExitCode.CannotWrite, $"{Path} {what}.");
}
