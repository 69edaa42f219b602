using System.Diagnostics;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Processes of bench/EdgeKV.LLamaSharpRunner: LLamaSharp on one libllama or the other.</summary>
public static class LLamaSharpProcess
{
    private const string Name = "EdgeKV.LLamaSharpRunner";

    /// <summary>How a process is started. It runs on LLamaSharp's backend package, whatever this process runs on.</summary>
    /// <param name="library">"packaged", "edgekv" or "attached".</param>
    /// <param name="arguments">The verb and what it takes.</param>
    /// <exception cref="FileNotFoundException">The program has not been built.</exception>
    public static ProcessStartInfo Start(string library, params ReadOnlySpan<string> arguments)
    {
        // Beside the folder of this program, in the same configuration.
        DirectoryInfo own = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        string path = Path.Combine(own.Parent!.Parent!.FullName, Name, own.Name, OperatingSystem.IsWindows() ? $"{Name}.exe" : Name);
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"{path} is missing: build the project {Name}.", path);
        }

        ProcessStartInfo start = new(path, [library, .. arguments]);
        start.Environment.Remove("EDGEKV_GGML");
        return start;
    }

    /// <summary>The lines that a process writes.</summary>
    /// <inheritdoc cref="Start"/>
    /// <exception cref="InvalidOperationException">The process failed.</exception>
    public static string[] Lines(string library, params ReadOnlySpan<string> arguments)
    {
        ProcessStartInfo start = Start(library, arguments);
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} did not start.");
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            : throw new InvalidOperationException($"{Name} ended with {process.ExitCode}: {errors.Result[^Math.Min(errors.Result.Length, 2000)..]}");
    }
}
