using EdgeKV.Testing;

namespace EdgeKV.ModelTests;

/// <summary>The scoring pass against attention weights that stock llama.cpp computes without flash attention.</summary>
public sealed class ScoreTests
{
    private const int Context = 200;
    private const double Rounding = 1e-3;

    public static TheoryData<TinyModel> Models => [.. TinyModels.Supported];

    // Reading with flash attention alone moves the tiny phi3's weights by 1.4e-3; read as stock reads, none differs.
    [Theory]
    [MemberData(nameof(Models))]
    public void Score_ContextAgain_GivesStocksAttention(TinyModel model) =>
        Compare(TinyModels.PathOf(model), TinyModels.RandomTokens(Context, 8), readAsScored: model == TinyModel.Phi3);

    [Fact]
    public void Score_F16CopyOverADocument_GivesStocksAttention() =>
        Compare(F16Model.Path, Testing.Measurements.ExactnessCase.DocumentTokens(F16Model.Path, Context), readAsScored: true);

    [Fact]
    public void Score_LittleMemory_GivesTheSame()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 8);
        using Engine engine = Engine.Open(Options(TinyModels.PathOf(TinyModel.LlamaGrouped)));
        engine.Prefill(tokens);
        (float[] max, float[] sum, _) = engine.Score(tokens, Context);
        engine.Rollback(Context);
        (float[] maxAgain, float[] sumAgain, _) = engine.Score(tokens, Context, bytesMax: 100_000);
        Assert.InRange(Difference(max, maxAgain), 0, Rounding);
        Assert.InRange(Difference(sum, sumAgain), 0, Rounding * Context);
    }

    [Fact]
    public void Score_ThenRollback_LeavesTheCacheAsItWas()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 4, 8);
        using Engine engine = Engine.Open(Options(TinyModels.PathOf(TinyModel.Qwen2)) with { Threads = 1 });
        engine.Prefill(tokens.AsSpan(0, Context));
        Logits before = engine.Decode(tokens.AsSpan(Context));
        engine.Rollback(Context);
        engine.Score(tokens.AsSpan(0, Context), Context);
        engine.Rollback(Context);
        Assert.True(engine.Decode(tokens.AsSpan(Context)).BitEquals(before));
    }

    // readAsScored: the context is read without flash attention too, as stock reads it here; a deep model shows the difference.
    private static void Compare(string model, int[] tokens, bool readAsScored = false)
    {
        using StockRunner stock = new();
        stock.Open(Options(model) with { Flash = false, Hook = true }).Prefill(tokens);
        (float[] expectedMax, float[] expectedSum) = stock.Score(tokens, tokens.Length);

        using Engine engine = Engine.Open(Options(model));
        if (readAsScored)
        {
            engine.Score(tokens, tokens.Length);
        }
        else
        {
            engine.Prefill(tokens);
        }

        (float[] max, float[] sum, _) = engine.Score(tokens, tokens.Length);
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
