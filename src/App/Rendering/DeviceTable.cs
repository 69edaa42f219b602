using EdgeKV.Models;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>What <c>devices</c> prints.</summary>
internal static class DeviceTable
{
    public static void Write(IAnsiConsole console, BackendReport report)
    {
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn("device").AddColumn("kind").AddColumn(new TableColumn("free").RightAligned()).AddColumn(new TableColumn("of").RightAligned()).AddColumn("what it is");
        foreach (BackendDevice device in report.Devices)
        {
            bool says = device.TotalBytes > 0;
            table.AddRow(
                Markup.Escape(device.Name),
                Kind(device.Kind),
                says ? ByteSize.Format(device.FreeBytes) : "?",
                says ? ByteSize.Format(device.TotalBytes) : "?",
                Markup.Escape(device.Description));
        }

        console.Write(table);

        // Past the console, which would break long lines.
        TextWriter lines = console.Profile.Out.Writer;
        if (!report.Devices.Any(device => device.IsGpu))
        {
            lines.WriteLine("No GPU is in use: models run on the CPU.");
        }

        foreach (BackendDevice device in report.Devices.Where(device => device.Features.Count > 0))
        {
            lines.WriteLine($"{device.Name} uses {string.Join(' ', device.Features)}.");
        }

        lines.WriteLine();
        lines.WriteLine($"llama.cpp: {report.Library}");
        foreach (string path in report.Loaded)
        {
            lines.WriteLine($"ggml {report.GgmlVersion ?? "?"}: {path}");
        }

        foreach (UnusedBackend unused in report.Unused)
        {
            lines.WriteLine($"not in use: {unused.Path}: {unused.Reason}");
        }
    }

    private static string Kind(BackendDeviceKind kind) => kind switch
    {
        BackendDeviceKind.Cpu => "CPU",
        BackendDeviceKind.Gpu => "GPU",
        BackendDeviceKind.IntegratedGpu => "integrated GPU",
        _ => "accelerator",
    };
}
