using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Models;

namespace EdgeKV.App.Tests.Commands;

[Collection(nameof(EngineCollection))]
public sealed class DevicesTests
{
    [Fact]
    public async Task Devices_Table_ListsDevicesAndTheLibrariesInUse()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["devices"], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        BackendReport report = BackendReport.Create();
        Assert.All(report.Devices, device => Assert.Contains(device.Name, terminal.OutText, StringComparison.Ordinal));
        Assert.Contains($"llama.cpp: {report.Library}", terminal.OutText, StringComparison.Ordinal);
        Assert.All(report.Loaded, path => Assert.Contains($"ggml {report.GgmlVersion}: {path}", terminal.OutText, StringComparison.Ordinal));
        Assert.Equal(!report.Devices.Any(device => device.IsGpu), terminal.OutText.Contains("No GPU is in use", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Devices_Json_TellsTheirMemory()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["devices", "--json"], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        using var json = JsonDocument.Parse(terminal.OutText);
        JsonElement cpu = json.RootElement.GetProperty("devices").EnumerateArray().Single(device => device.GetProperty("kind").GetString() == "Cpu");
        Assert.Equal("CPU", cpu.GetProperty("name").GetString());
        Assert.True(cpu.GetProperty("totalBytes").GetInt64() > 0);
        Assert.Equal(JsonValueKind.Array, json.RootElement.GetProperty("unused").ValueKind);
    }

    [Theory]
    [InlineData("--gpu-layers some", "--gpu-layers some must be auto, all, or a whole number from 0 to 2147483647")]
    [InlineData("--gpu-layers -2", "--gpu-layers -2 must be auto, all, or a whole number")]
    [InlineData("--device CUDA0,", "--device CUDA0, must be names of GPUs, each once")]
    [InlineData("--device CUDA0,CUDA0", "--device CUDA0,CUDA0 must be names of GPUs, each once")]
    public async Task GpuOptions_ThatCannotBe_AreRefusedByName(string options, string message)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["ask", "--document", "x.txt", "--question", "Q?", .. options.Split(' ')], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(2, code);
        Assert.Contains(message, terminal.ErrorText, StringComparison.Ordinal);
    }
}
