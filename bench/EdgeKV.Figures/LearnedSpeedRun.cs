using System.Diagnostics;
using System.Text.Json;
using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Native.Loading;

namespace EdgeKV.Figures;

/// <summary>
/// Measures what learned scores cost in a process of its own, on the ggml libraries that stock's runner uses: ratios on LLamaSharp's would show two builds of ggml.
/// </summary>
internal static class LearnedSpeedRun
{
    /// <summary>The argument that makes this program the one that measures.</summary>
    public const string Verb = "learned-speed";

    private const string Mark = "result ";

    /// <summary>Measures from this process.</summary>
    /// <exception cref="InvalidOperationException">The other process ended without a result.</exception>
    public static async Task<LearnedSpeed> MeasureAsync()
    {
        ProcessStartInfo start = OwnProcess.Start(Verb);
        start.Environment[PluginFolder.FolderVariable] = CpuPlugins();
        using Process child = Process.Start(start) ?? throw new InvalidOperationException("Cannot start another process of this program.");
        string output = await child.StandardOutput.ReadToEndAsync().ConfigureAwait(false);
        await child.WaitForExitAsync().ConfigureAwait(false);
        string line = output.Split('\n').FirstOrDefault(l => l.StartsWith(Mark, StringComparison.Ordinal))
            ?? throw new InvalidOperationException($"The process that measures the speed of learned scores ended with {child.ExitCode} and without a result.");
        return JsonSerializer.Deserialize<LearnedSpeed>(line[Mark.Length..])!;
    }

    /// <summary>What the child does; its result is on one line.</summary>
    public static async Task<int> RunAsync()
    {
        Console.WriteLine(Mark + JsonSerializer.Serialize(await Learned.SpeedAsync().ConfigureAwait(false)));
        return 0;
    }

    // Without GPU backends: one beside the CPU's makes decoding on the CPU some 2 % slower, even where it finds no device. Stock's runner loads none.
    private static string CpuPlugins()
    {
        string folder = Directory.CreateDirectory(Path.Combine(Places.Cache, "ggml-cpu")).FullName;
        foreach (string file in Directory.EnumerateFiles(Path.Combine(Places.Checkout, "artifacts", "native", "ggml")))
        {
            string name = Path.GetFileNameWithoutExtension(file);
            if (name is "libggml" or "libggml-base" || name.StartsWith("libggml-cpu", StringComparison.Ordinal))
            {
                File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
            }
        }

        return folder;
    }
}
