using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Native.Loading;

namespace EdgeKV.Native.Tests;

/// <summary>What the process runs on, and how many layers go where.</summary>
public sealed class BackendTests
{
    private static readonly string Tiny = TinyModels.PathOf(TinyModel.LlamaGrouped);

    [Fact]
    public void List_TheProcessor_IsThereWithMemoryAndFeatures()
    {
        BackendDevice cpu = Assert.Single(BackendDevice.List(), device => device.Kind == BackendDeviceKind.Cpu);

        Assert.Equal("CPU", cpu.Name);
        Assert.Equal("CPU", cpu.Backend);
        Assert.False(cpu.IsGpu);
        Assert.InRange(cpu.FreeBytes, 1, cpu.TotalBytes);
        Assert.NotEmpty(cpu.Features);
    }

    [Fact]
    public void Create_Report_NamesTheFilesThatAreInUse()
    {
        BackendReport report = BackendReport.Create();

        Assert.Equal(EdgeKVLibrary.Path, report.Library);
        Assert.Contains(report.GgmlVersion, GgmlVersions.Known);
        Assert.Contains(report.Loaded, path => Path.GetFileName(path) == LoadedLibraries.FileName("ggml-base"));
        Assert.Contains(report.Loaded, path => Path.GetFileName(path).Contains("ggml-cpu", StringComparison.Ordinal));
        Assert.All(report.Loaded, path => Assert.True(File.Exists(path), path));
        Assert.Equal(BackendDevice.List().Select(device => device.Name), report.Devices.Select(device => device.Name));
    }

    [Fact]
    public void Create_ABackendThatCannotBeLoaded_IsNamedWithTheReason()
    {
        Assert.SkipUnless(PluginFolder.Configured is null, "The folders of LLamaSharp's packages are not in use.");
        string folder = Path.Combine(AppContext.BaseDirectory, "runtimes", LibraryFile.Platform, "native", $"broken-{Guid.NewGuid():N}");
        string file = Path.Combine(Directory.CreateDirectory(folder).FullName, LoadedLibraries.FileName("ggml-cuda"));
        try
        {
            File.WriteAllText(file, "not a library");

            UnusedBackend unused = Assert.Single(BackendReport.Create().Unused, backend => backend.Path == file);

            Assert.Contains(file, unused.Reason, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', unused.Reason);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task LoadAsync_AsManyLayersAsFit_AreNoneWithoutAGpu()
    {
        Assert.SkipUnless(GpuDevice.Name is null, "There is a GPU here.");
        using EdgeModel model = await EdgeModel.LoadAsync(Tiny, new ModelOptions { GpuLayers = null }, cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(0, model.GpuLayers);
    }

    [Fact]
    public async Task LoadAsync_ADeviceThatIsNotThere_IsNamed()
    {
        GpuMissingException exception = await Assert.ThrowsAsync<GpuMissingException>(
            () => EdgeModel.LoadAsync(Tiny, new ModelOptions { Devices = ["NoSuchGpu0"] }, cancellationToken: TestContext.Current.CancellationToken));

        Assert.Contains("NoSuchGpu0", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    public async Task LoadAsync_NoContextToFit_IsRefused(int tokens)
    {
        ArgumentOutOfRangeException exception = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
            () => EdgeModel.LoadAsync(
                Tiny, new ModelOptions { GpuLayers = null, FitContextSize = tokens }, cancellationToken: TestContext.Current.CancellationToken));

        Assert.Equal(nameof(ModelOptions.FitContextSize), exception.ParamName);
    }

    [Fact]
    public async Task LoadAsync_AsManyLayersAsFitOfADamagedFile_IsAModelException()
    {
        string path = Path.Combine(Path.GetTempPath(), $"edgekv-{Guid.NewGuid():N}.gguf");
        try
        {
            await File.WriteAllBytesAsync(path, (await File.ReadAllBytesAsync(Tiny, TestContext.Current.CancellationToken))[..2000], TestContext.Current.CancellationToken);

            ModelException exception = await Assert.ThrowsAsync<ModelException>(
                () => EdgeModel.LoadAsync(path, new ModelOptions { GpuLayers = null }, cancellationToken: TestContext.Current.CancellationToken));

            Assert.Contains(path, exception.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
