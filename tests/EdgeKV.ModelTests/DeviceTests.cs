using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.ModelTests;

/// <summary>The path where the cache is not host memory, on the GPU device that is there: a software one does.</summary>
public sealed class DeviceTests
{
    public static TheoryData<TinyModel, KvCacheType, int> Cases => new()
    {
        { TinyModel.LlamaGrouped, KvCacheType.F16, -1 },
        { TinyModel.LlamaGrouped, KvCacheType.Q8_0, -1 },
        { TinyModel.Qwen3, KvCacheType.F16, -1 },
        { TinyModel.Qwen2, KvCacheType.Q8_0, -1 },
        { TinyModel.LlamaFused, KvCacheType.F16, 2 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Device_AnyPlan_GivesWhatTheCpuGives(TinyModel model, KvCacheType type, int gpuLayers)
    {
        Assert.SkipWhen(GpuDevice.Name is null, Device.Missing);
        DeviceResult result = Device.Measure(ExactnessCase.Of(model, context: 300, decoded: 12, prompt: 80), type, gpuLayers);
        Assert.InRange(result.Identity.Max, 0, result.Bound);
        Assert.InRange(result.Composite.Max, 0, result.Bound);
        Assert.InRange(result.Ragged.Max, 0, result.Bound);
        Assert.InRange(result.ScoresDiff, 0, 1e-3);
        Assert.True(result.CanFail, $"Shifted plans give KL {result.Sensitivity:E1}; the bound is {result.Bound:E1}.");
    }

    [Theory]
    [InlineData(256)]
    [InlineData(1_000_000_000)] // the model's window counts where it is less
    public async Task LoadAsync_AsManyLayersAsFit_AreAllOfATinyModel(int context)
    {
        Assert.SkipWhen(GpuDevice.Name is null, Device.Missing);
        using EdgeModel model = await EdgeModel.LoadAsync(
            TinyModels.PathOf(TinyModel.LlamaGrouped), new ModelOptions { GpuLayers = null, FitContextSize = context }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(model.Layers + 1, model.GpuLayers);
    }
}
