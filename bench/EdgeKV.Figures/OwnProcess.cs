using System.Diagnostics;

namespace EdgeKV.Figures;

/// <summary>How this program starts itself once more, for what must not happen in its own process.</summary>
internal static class OwnProcess
{
    /// <summary>A start whose standard output is read.</summary>
    public static ProcessStartInfo Start(params IEnumerable<string> arguments)
    {
        string program = Environment.ProcessPath ?? throw new InvalidOperationException("This program does not know its own path.");
        ProcessStartInfo start = new(program) { RedirectStandardOutput = true, UseShellExecute = false };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
        {
            start.ArgumentList.Add(typeof(OwnProcess).Assembly.Location);
        }

        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return start;
    }
}
