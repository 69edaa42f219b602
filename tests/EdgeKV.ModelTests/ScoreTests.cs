using EdgeKV.Engine;
using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Sessions;

namespace EdgeKV.ModelTests;

/// <summary>The scoring pass against attention weights that stock llama.cpp computes without flash attention.</summary>
public sealed class ScoreTests
{
    private const int Context = 200;
    private const double Rounding = 1e-3;

    // Stock's scores are of layers that are alike.
    public static TheoryData<TinyModel> Models => [.. TinyModels.Supported.Except(TinyModels.WithLayersThatDiffer)];

    [Theory]
    [MemberData(nameof(Models))]
    public void Score_ContextAgain_GivesStocksAttention(TinyModel model) =>
        Compare(TinyModels.PathOf(model), TinyModels.RandomTokens(Context, 8));

    [Fact]
    public void Score_F16CopyOverADocument_GivesStocksAttention() =>
        Compare(F16Model.Path, ExactnessCase.DocumentTokens(F16Model.Path, Context));

    [Fact]
    public void Score_LittleMemory_GivesTheSame()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 8);
        EngineOptions options = Options(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeModel model = options.Load();
        using EdgeSession session = model.CreateSession(options.Session);
        KvContext context = session.Kv!;
        context.Prefill(tokens);
        (float[] max, float[] sum, _) = context.DecodeScored(tokens, Context);
        context.Rollback(Context);
        (float[] maxAgain, float[] sumAgain, _) = context.DecodeScored(tokens, Context, bytesMax: 100_000);
        Assert.InRange(Difference(max, maxAgain), 0, Rounding);
        Assert.InRange(Difference(sum, sumAgain), 0, Rounding * Context);
    }

    [Fact]
    public void Score_ThenRollback_LeavesTheCacheAsItWas()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 4, 8);
        EngineOptions options = Options(TinyModels.PathOf(TinyModel.Qwen2)) with { Threads = 1 };
        using EdgeModel model = options.Load();
        using EdgeSession session = model.CreateSession(options.Session);
        KvContext context = session.Kv!;
        context.Prefill(tokens.AsSpan(0, Context));
        Logits before = context.DecodeAll(tokens.AsSpan(Context));
        context.Rollback(Context);
        context.DecodeScored(tokens.AsSpan(0, Context), Context);
        context.Rollback(Context);
        Assert.True(context.DecodeAll(tokens.AsSpan(Context)).BitEquals(before));
    }

    private static void Compare(string model, int[] tokens)
    {
        using StockRunner stock = new();
        stock.Open(Options(model) with { Flash = false, Hook = true }).Prefill(tokens);
        (float[] expectedMax, float[] expectedSum) = stock.Score(tokens, tokens.Length);

        EngineOptions options = Options(model);
        using EdgeModel loaded = options.Load();
        using EdgeSession session = loaded.CreateSession(options.Session);
        KvContext context = session.Kv!;

        // What flash attention gives a layer moves the weights of those above it, and stock gives weights only without it. So all layers are
        // compared over a cache that was read without it, and the first, which nothing lies below, over one that prefill made; that prefill
        // makes stock's cache is for the tests of identity.
        context.DecodeScored(tokens, tokens.Length);
        (float[] max, float[] sum, _) = context.DecodeScored(tokens, tokens.Length);
        context.Rollback(0);
        context.Prefill(tokens);
        (float[] prefilled, _, _) = context.DecodeScored(tokens, tokens.Length);
        int layer = max.Length / loaded.Layers;
        Assert.InRange(Difference(expectedMax[..layer], prefilled[..layer]), 0, Rounding);
        Assert.InRange(Difference(expectedMax, max), 0, Rounding);
        Assert.InRange(Difference(expectedSum, sum), 0, Rounding * tokens.Length);
        Assert.Contains(max, m => m > 0.5f);
    }

    private static EngineOptions Options(string model) => new(model) { ContextSize = 512 };

    private static double Difference(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        return expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();
    }
}
