using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;

namespace EdgeKV.ModelTests;

/// <summary>The mask oracle against itself and against llama.cpp's own eviction: stock code on both sides.</summary>
public sealed class OracleTests
{
    private const int Context = 300;
    private const double Rounding = 1e-4;

    public static TheoryData<TinyModel> Models => [.. TinyModels.Supported];

    // The mask over the softmax knows layers that are alike.
    public static TheoryData<TinyModel> Alike => [.. TinyModels.Supported.Except(TinyModels.WithLayersThatDiffer)];

    [Theory]
    [MemberData(nameof(Alike))]
    public void Masks_OverSoftmaxAndInFlashAttention_Agree(TinyModel model)
    {
        Logits softmax = Masked(model, flash: false, StockMask.Softmax, out CompressionPlan plan);
        Logits flash = Masked(model, flash: true, StockMask.Flash, out _);
        Assert.InRange(Divergence.Of(softmax, flash).Max, 0, Rounding);
        Assert.False(plan.IsComposite);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Mask_SameRowsInAllHeads_IsWhatSeqRmGives(TinyModel model)
    {
        int[] tokens = TinyModels.RandomTokens(Context + 32, 2);
        using StockRunner stock = new();
        stock.Open(Options(model)).Prefill(tokens.AsSpan(0, Context));
        CompressionPlan plan = Plans.Uniform(Exactness.KvHeads(Options(model)), Context, 0.5, 6);
        stock.Mask(StockMask.Flash, plan);
        Logits masked = stock.Decode(tokens.AsSpan(Context));
        stock.Rollback(Context);
        stock.Unmask();
        stock.Remove([.. Enumerable.Range(0, Context).Except(plan.Positions(0, 0).ToArray())]);
        Logits removed = stock.Decode(tokens.AsSpan(Context));
        Assert.InRange(Divergence.Of(removed, masked).Max, 0, Rounding);
    }

    [Fact]
    public void Mask_ThatDropsRows_ChangesTheOutput()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 8, 2);
        using StockRunner stock = new();
        stock.Open(Options(TinyModel.LlamaGrouped)).Prefill(tokens.AsSpan(0, Context));
        Logits full = stock.Decode(tokens.AsSpan(Context));
        stock.Rollback(Context);
        stock.Mask(StockMask.Flash, Plans.Ragged(HeadLayout.Uniform(stock.Layers, stock.KvHeads), Context, 6));
        Assert.InRange(Divergence.Of(full, stock.Decode(tokens.AsSpan(Context))).Max, 0.1, 100);
    }

    private static Logits Masked(TinyModel model, bool flash, StockMask kind, out CompressionPlan plan)
    {
        int[] tokens = TinyModels.RandomTokens(Context + 32, 2);
        using StockRunner stock = new();
        stock.Open(Options(model) with { Flash = flash }).Prefill(tokens.AsSpan(0, Context));
        plan = Plans.Ragged(HeadLayout.Uniform(stock.Layers, stock.KvHeads), Context, 6);
        stock.Mask(kind, plan);
        return stock.Decode(tokens.AsSpan(Context));
    }

    private static EngineOptions Options(TinyModel model) => new(TinyModels.PathOf(model)) { ContextSize = 512, Hook = true };
}
