namespace EdgeKV.Measurements.Subjects;

/// <summary>Where tests find what is not part of their own assembly.</summary>
public static class Places
{
    /// <summary>The checkout's root: the nearest folder above the assembly that holds the solution.</summary>
    public static string Checkout { get; } = Above(AppContext.BaseDirectory) ?? Above(Environment.CurrentDirectory)
        ?? throw new DirectoryNotFoundException($"No checkout of EdgeKV lies above {AppContext.BaseDirectory}.");

    /// <summary>The folder <c>shared</c> beside the checkout, or null: it is not part of a clone.</summary>
    public static string? Shared { get; } = Existing(Path.Combine(Checkout, "..", "shared"));

    /// <summary>A folder for files that are costly to make; outside the repository, kept between runs.</summary>
    public static string Cache { get; } = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "edgekv-tests")).FullName;

    /// <summary>The bundled model: env EDGEKV_MODEL, else the checkout's.</summary>
    public static string Model { get; } = Environment.GetEnvironmentVariable("EDGEKV_MODEL") is { Length: > 0 } path
        ? path
        : Directory.GetFiles(Path.Combine(Checkout, "models"), "*.gguf").Order(StringComparer.Ordinal).First();

    /// <summary>The document that comes with the samples.</summary>
    public static string Document { get; } = Directory.GetFiles(Path.Combine(Checkout, "samples"), "*.txt")
        .OrderByDescending(f => new FileInfo(f).Length).ThenBy(f => f, StringComparer.Ordinal).First();

    private static string? Existing(string path) => Directory.Exists(path) ? Path.GetFullPath(path) : null;

    private static string? Above(string start)
    {
        for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "EdgeKV.sln")))
            {
                return folder.FullName;
            }
        }

        return null;
    }
}
