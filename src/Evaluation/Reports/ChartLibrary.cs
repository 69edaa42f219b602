namespace EdgeKV.Evaluation;

/// <summary>The library that draws a report's charts. The build fetches it (charts.lock); it is no part of the repository.</summary>
/// <remarks>
/// Searched in this order: <c>charts</c> beside the program, <c>artifacts/charts</c> of the checkout, found by walking up from there.
/// </remarks>
internal static class ChartLibrary
{
    private const string FileName = "charts.js";

    /// <summary>The library's text.</summary>
    /// <param name="start">The program's folder.</param>
    /// <exception cref="EdgeKVException">It is not there; the message lists what was tried.</exception>
    public static string Read(string start)
    {
        List<string> tried = [Path.Combine(start, "charts")];
        for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
        {
            // Built assemblies lie in artifacts/ themselves, so artifacts/artifacts is never one.
            if (folder.Name != "artifacts")
            {
                tried.Add(Path.Combine(folder.FullName, "artifacts", "charts"));
            }
        }

        return tried.Select(folder => Path.Combine(folder, FileName)).FirstOrDefault(File.Exists) is { } file
            ? File.ReadAllText(file)
            : throw new EdgeKVException(
                $"{FileName}, which reports are drawn with, was not found. Looked in: {string.Join(", ", tried)}. "
                + "Run ./build.sh charts in the EdgeKV checkout.");
    }
}
