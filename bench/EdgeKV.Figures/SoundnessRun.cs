using System.Diagnostics;
using System.Globalization;
using EdgeKV.Measurements;

namespace EdgeKV.Figures;

/// <summary>Tries all bad inputs in processes of their own, so that a crash is counted and not suffered.</summary>
/// <param name="Tried">Bad inputs tried.</param>
/// <param name="Crashed">Those that ended the process, hung it, or ended in something other than a typed error and a usable engine.</param>
/// <param name="Faults">What they were.</param>
internal sealed record SoundnessRun(int Tried, int Crashed, IReadOnlyList<string> Faults)
{
    /// <summary>The argument that makes this program the one that tries.</summary>
    public const string Verb = "soundness";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Tries all of them from this process.</summary>
    public static SoundnessRun Measure()
    {
        List<string> faults = [];
        int next = 0;
        while (next < Soundness.All.Count)
        {
            next = Child(next, faults);
        }

        return new SoundnessRun(Soundness.All.Count, faults.Count, faults);
    }

    /// <summary>What the child does: one line per input, its number before it is tried, the fault after it if there was one.</summary>
    public static int Run(int first)
    {
        for (int i = first; i < Soundness.All.Count; i++)
        {
            Console.WriteLine(i.ToString(CultureInfo.InvariantCulture));
            try
            {
                Soundness.All[i].Run();
            }
#pragma warning disable CA1031 // anything else than a return is a fault, and the next input is tried all the same
            catch (Exception e)
#pragma warning restore CA1031
            {
                Console.WriteLine($"fault {i} {e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}");
            }
        }

        return 0;
    }

    // Runs a child from an input on; returns the first input that is still to be tried.
    private static int Child(int first, List<string> faults)
    {
        using Process child = Process.Start(OwnProcess.Start(Verb, first.ToString(CultureInfo.InvariantCulture))) ?? throw new InvalidOperationException("Cannot start another process of this program.");
        int current = first - 1;
        while (true)
        {
            Task<string?> line = child.StandardOutput.ReadLineAsync();
            if (!line.Wait(Patience))
            {
                child.Kill(entireProcessTree: true);
                child.WaitForExit();
                faults.Add($"{Soundness.All[current].Group}, input {current}: no answer in {Patience.TotalSeconds} s");
                return current + 1;
            }

            if (line.Result is not { } text)
            {
                child.WaitForExit();
                if (child.ExitCode == 0)
                {
                    return Soundness.All.Count;
                }

                current = Math.Max(current, first);
                faults.Add($"{Soundness.All[current].Group}, input {current}: the process ended with {child.ExitCode}");
                return current + 1;
            }

            if (text.StartsWith("fault ", StringComparison.Ordinal))
            {
                faults.Add($"{Soundness.All[current].Group}, input {text["fault ".Length..]}");
            }
            else if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            {
                current = number;
            }
        }
    }
}
