using System.Numerics.Tensors;
using EdgeKV.Compression;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Configuration;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Query moments and the model's rotation as a session gives them.</summary>
public sealed class QueryMomentsTests(ModelFixture fixture)
{
    private const int Tokens = 40;

    private static readonly SessionOptions Options = new() { Threads = 1, CacheType = KvCacheType.F32, BatchSize = 16 };
    private static readonly QueryMoments Mean = new(QueryMoment.Mean);
    private static readonly QueryMoments Covariance = new(QueryMoment.Covariance);

    public static TheoryData<TinyModel> Rotations =>
        [TinyModel.LlamaGrouped, TinyModel.Qwen2, TinyModel.Qwen3, TinyModel.LlamaLongRope, TinyModel.LlamaYarn];

    [Theory]
    [MemberData(nameof(Rotations))]
    public async Task Rotary_CachedKeysTurnedBack_AreThoseBeforeRope(TinyModel tiny)
    {
        // Past 1024 positions longrope takes its long factors.
        foreach (int size in (int[])[512, 2048])
        {
            using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
            using EdgeSession session = model.CreateSession(Options with { ContextSize = size });
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_queries_keep(session.Handle, true, 0), "edgekv_queries_keep");
            await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 1));

            RotaryEncoding rotary = session.CachedRows.Rotary;

            Assert.Equal(tiny is TinyModel.Qwen2 or TinyModel.Qwen3 ? RotaryPairs.HalfSplit : RotaryPairs.Adjacent, rotary.Pairs);
            for (int layer = 0; layer < model.Layers; layer++)
            {
                double[] expected = KeySums(session, layer);
                double[] turnedBack = new double[expected.Length];
                using var keys = new LayerRows(session.CachedRows, RowKind.Keys, layer);
                for (int i = 0; i < Tokens * model.Geometry.KvHeads[0]; i++)
                {
                    (int head, int token) = (i / Tokens, i % Tokens);
                    double[] key = TurnBack(rotary, token, keys.Row(head, token));
                    for (int channel = 0; channel < key.Length; channel++)
                    {
                        turnedBack[head * key.Length + channel] += key[channel];
                    }
                }

                Assert.Equal(expected, turnedBack, (one, other) => Math.Abs(one - other) < 1e-3 * (1 + Math.Abs(one)));
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_MomentsOfTheLastTwo_AreThoseOfTheirQueries()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen3));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 2));
        QueryMoments two = new(QueryMoment.Mean, Tokens - 2);
        QueryMoments spread = new(QueryMoment.Covariance, Tokens - 2);
        QueryMoments last = new(QueryMoment.Mean, Tokens - 1);
        QueryMoments none = new(QueryMoment.Covariance, Tokens - 1);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(two, spread, last, none));

        Assert.Equal(2, scores.Queries(two));
        Assert.Equal(1, scores.Queries(none));
        for (int layer = 0; layer < model.Layers; layer++)
        {
            for (int head = 0; head < model.Geometry.Heads[0]; head++)
            {
                // With q = m + d and m - d, the covariance is dd^T.
                ReadOnlySpan<float> mean = scores.Values(two, layer, head);
                ReadOnlySpan<float> query = scores.Values(last, layer, head);
                ReadOnlySpan<float> covariance = scores.Values(spread, layer, head);
                for (int i = 0; i < mean.Length; i++)
                {
                    for (int j = 0; j < mean.Length; j++)
                    {
                        double expected = (query[i] - mean[i]) * (query[j] - mean[j]);
                        Assert.Equal(expected, covariance[i * mean.Length + j], 1e-3);
                    }
                }

                Assert.All(scores.Values(none, layer, head).ToArray(), value => Assert.Equal(0, value, 1e-3));
                Assert.Contains(covariance.ToArray(), value => value > 0.01);
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_MomentsWithWindows_ShareOnePass()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 3));
        float[] logits = session.Logits().ToArray();
        QueryMoments late = new(QueryMoment.Mean, 21);
        WindowAttention few = new(5);
        Statistic[] all = [Mean, Covariance, late, few, WindowAttention.All];

        using AttentionScores together = await session.ScoreAsync(new ScoreRequest(all));

        Assert.Equal(Tokens, together.PassTokens);
        Assert.Equal(Tokens - 4, together.Queries(Mean));
        foreach (Statistic statistic in all)
        {
            using AttentionScores alone = await session.ScoreAsync(new ScoreRequest(statistic));
            Assert.Equal(statistic == few ? 5 : statistic == late ? Tokens - 16 : Tokens, alone.PassTokens);
            for (int layer = 0; layer < model.Layers; layer++)
            {
                AssertReadTwice(model, alone.Values(statistic, layer, 1), together.Values(statistic, layer, 1));
            }
        }

        Assert.Equal(Tokens, session.Position);
        AssertReadTwice(model, logits, session.Logits());
    }

    [Fact]
    public async Task ScoreAsync_EveryTokenLeftOut_IsRefused()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(4, 4));

        PlanException error = await Assert.ThrowsAsync<PlanException>(() => session.ScoreAsync(new ScoreRequest(Mean)));

        Assert.Contains("leave out the first 4 tokens, and the context has 4", error.Message, StringComparison.Ordinal);
        Assert.Equal(4, session.Position);
    }

    [Fact]
    public async Task ScoreAsync_Cancelled_LeavesTheSessionAsItWas()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 5));
        using var source = new CancellationTokenSource();

        // After the first of three batches.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.ScoreAsync(
            new ScoreRequest(Mean), new Cancelling(source), source.Token));

        Assert.Equal(Tokens, session.Position);
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(Mean));
        Assert.Equal(Tokens - 4, scores.Queries(Mean));
    }

    [Theory]
    [InlineData("expected-attention")]
    [InlineData("capkv")]
    public async Task CompressAsync_ByExpectedQueries_KeepsWhatThePolicyPlans(string name)
    {
        ICompressionPolicy policy = PolicyRegistry.Create(name, Budget.FromRatio(0.5));
        using EdgeSession session = await fixture.Reader();
        CompressionPlan plan;
        using (AttentionScores scores = await session.ScoreAsync(policy.Request))
        {
            plan = policy.Plan(scores);
        }

        int tokens = session.Position;
        CompressionReport report = await session.CompressAsync(policy);

        Assert.Equal(plan.TotalRows, report.TotalRowsAfter);
        Assert.Equal(tokens, report.Scores!.PassTokens);
        Assert.NotEmpty(await ModelFixture.Answer(session, "How tall is the lighthouse?"));
    }

    // llama.cpp's attention sums values up in f16, so that each of two readings may be off by half a step of 2^-10 of the largest for every layer.
    private static void AssertReadTwice(EdgeModel model, ReadOnlySpan<float> one, ReadOnlySpan<float> other)
    {
        float bound = 2 * model.Layers * MathF.ScaleB(1, -11) * TensorPrimitives.MaxMagnitude(one);
        Assert.Equal(one.ToArray(), other.ToArray(), (a, b) => Math.Abs(a - b) <= Math.Abs(bound));
    }

    private static unsafe double[] KeySums(EdgeSession session, int layer)
    {
        double[] sums = new double[session.Model.Geometry.KvHeads[0] * session.Model.Geometry.Layers[0].HeadSizeK];
        fixed (double* pointer = sums)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_queries(session.Handle, NativeQuerySum.Keys, layer, pointer, (nuint)sums.Length), "edgekv_queries");
        }

        return sums;
    }

    private static double[] TurnBack(RotaryEncoding rotary, int position, ReadOnlySpan<float> key)
    {
        double[] turned = [.. key.ToArray().Select(x => (double)x)];
        int pairs = rotary.Frequencies.Count;
        for (int pair = 0; pair < pairs; pair++)
        {
            (double sin, double cos) = Math.SinCos(-position * rotary.Frequencies[pair]);
            (int one, int other) = rotary.Pairs == RotaryPairs.Adjacent ? (2 * pair, 2 * pair + 1) : (pair, pair + pairs);
            turned[one] = (cos * key[one] - sin * key[other]) / rotary.Scale;
            turned[other] = (sin * key[one] + cos * key[other]) / rotary.Scale;
        }

        return turned;
    }

    private sealed class Cancelling(CancellationTokenSource source) : IProgress<double>
    {
        public void Report(double value) => source.Cancel();
    }
}
