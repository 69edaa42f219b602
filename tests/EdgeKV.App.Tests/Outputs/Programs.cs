using System.Diagnostics;

namespace EdgeKV.App.Tests.Outputs;

/// <summary>The system's own programs.</summary>
internal static class Programs
{
    /// <summary>Runs one and gives what it wrote on standard output.</summary>
    public static async Task<string> RunAsync(string program, params string[] arguments)
    {
        (int code, string text, string error) = await TryAsync(program, arguments);
        Assert.True(code == 0, $"{program}: {error}");
        return text.Trim();
    }

    /// <summary>A device of the test's own that is always full, as /dev/full is; skips where the test may not make one.</summary>
    public static async Task<string> FullDeviceAsync(string folder)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Device nodes are made so on Linux only.");
        string node = Path.Combine(folder, "full");
        Assert.SkipUnless((await TryAsync("mknod", node, "c", "1", "7")).Code == 0, "A device node needs root.");
        return node;
    }

    /// <summary>Runs one.</summary>
    public static Task<(int Code, string Text, string Error)> TryAsync(string program, params string[] arguments) =>
        TryAsync(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true });

    /// <summary>Runs one whose streams are redirected.</summary>
    public static async Task<(int Code, string Text, string Error)> TryAsync(ProcessStartInfo start)
    {
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string text = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, text, await error);
    }
}
