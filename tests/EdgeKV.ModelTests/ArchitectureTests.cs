using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.ModelTests;

/// <summary>Tiny random models of every architecture that matters to the cache.</summary>
public sealed class ArchitectureTests
{
    public static TheoryData<TinyModel> Supported => [.. TinyModels.Supported];

    public static TheoryData<TinyModel, KvCacheType> SupportedByType
    {
        get
        {
            TheoryData<TinyModel, KvCacheType> data = [];
            foreach (TinyModel model in TinyModels.Supported)
            {
                foreach (KvCacheType type in MeasuredTypes.All)
                {
                    data.Add(model, type);
                }
            }

            return data;
        }
    }

    public static TheoryData<TinyModel, string> Refused
    {
        get
        {
            TheoryData<TinyModel, string> data = [];
            foreach (var (model, reason) in TinyModels.Refused)
            {
                data.Add(model, reason);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Supported))]
    public void Identity_OneThread_HasTheBitsOfStock(TinyModel model) =>
        Assert.True(Exactness.IdentityBitEqual(ExactnessCase.Of(model)));

    [Theory]
    [MemberData(nameof(SupportedByType))]
    public void Plans_OfEveryKind_StayWithinTheBound(TinyModel model, KvCacheType type)
    {
        ExactnessResult result = Exactness.Measure(ExactnessCase.Of(model, context: 300, decoded: 24), type);
        Assert.True(result.Worst <= result.Bound, $"The bound is {result.Bound:E2}: {result}");
        Assert.True(result.CanFail, $"Shifted plans give KL {result.Sensitivity:E1} only.");
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void EnsureSupported_CacheCannotBeCompact_IsRefusedByName(TinyModel model, string reason)
    {
        using EdgeModel loaded = EdgeModel.Load(TinyModels.PathOf(model));
        UnsupportedModelException refusal = Assert.Throws<UnsupportedModelException>(loaded.EnsureSupported);
        Assert.Contains(reason, refusal.Message, StringComparison.OrdinalIgnoreCase);
        string letters = string.Concat(refusal.Message.Where(char.IsLetterOrDigit));
        Assert.Contains(model.ToString(), letters, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [MemberData(nameof(Supported))]
    public void EnsureSupported_CacheCanBeCompact_Returns(TinyModel model)
    {
        using EdgeModel loaded = EdgeModel.Load(TinyModels.PathOf(model));
        loaded.EnsureSupported();
    }
}
