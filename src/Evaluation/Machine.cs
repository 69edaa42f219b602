using System.Globalization;
using System.Runtime.InteropServices;

namespace EdgeKV.Evaluation;

/// <summary>The machine that figures come from. Speeds of different machines are not compared.</summary>
/// <param name="Processor">As the system names it; the architecture where it does not.</param>
/// <param name="Cores">Logical cores that the process may use.</param>
/// <param name="System">The operating system.</param>
/// <param name="Runtime">The .NET runtime.</param>
public sealed record Machine(string Processor, int Cores, string System, string Runtime)
{
    private const string Processors = "/proc/cpuinfo";
    private const string Loads = "/proc/loadavg";
    private const string NameKey = "model name";

    /// <summary>This machine.</summary>
    public static Machine Here { get; } = new(
        ProcessorName() ?? RuntimeInformation.ProcessArchitecture.ToString(),
        Environment.ProcessorCount,
        RuntimeInformation.OSDescription,
        RuntimeInformation.FrameworkDescription);

    /// <summary>Programs that want a core now, on average over the last minute; null where the system does not say.</summary>
    public static double? Load => File.Exists(Loads)
        ? double.Parse(File.ReadAllText(Loads).Split(' ')[0], CultureInfo.InvariantCulture)
        : null;

    /// <summary>In one line.</summary>
    public override string ToString() => $"{Processor}, {Cores} {(Cores == 1 ? "core" : "cores")}, {System}, {Runtime}";

    private static string? ProcessorName() => !File.Exists(Processors)
        ? null
        : File.ReadLines(Processors).FirstOrDefault(line => line.StartsWith(NameKey, StringComparison.Ordinal))?.Split(':')[1].Trim();
}
