using System.Globalization;
using System.Runtime.InteropServices;

namespace EdgeKV.Evaluation;

/// <summary>The machine that figures come from.</summary>
public static class Machine
{
    private const string ProcessorKey = "model name";

    /// <summary>Processor, logical cores, system and runtime.</summary>
    public static string Describe() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Processor() ?? $"{RuntimeInformation.ProcessArchitecture}"}, {Environment.ProcessorCount} cores, {RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}");

    private static string? Processor()
    {
        const string Path = "/proc/cpuinfo";
        return File.Exists(Path)
            ? File.ReadLines(Path).FirstOrDefault(line => line.StartsWith(ProcessorKey, StringComparison.Ordinal))?.Split(':', 2)[1].Trim()
            : null;
    }
}
