using EdgeKV.Compression;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Attention inside blocks, and the leverage of keys, as a session gives them.</summary>
public sealed class BlockAttentionTests(ModelFixture fixture)
{
    private const int Tokens = 75;

    // Queries are those of a second session that is fed token by token. The first layer's are the same, and products of up to 100 are rounded by 1e-5 of a weight in
    // float32. Later ones come from attention that another kernel has summed: they differ by some 1e-5, products by 1e-3, the sums of 16 weights by a few times that.
    private const double Rounding = 1e-4;
    private const double RoundingOfStates = 2e-2;

    private static readonly SessionOptions Options = new() { Threads = 1, CacheType = KvCacheType.F32, BatchSize = 40 };
    private static readonly BlockAttention Blocks = new(16, first: 8, last: 4);

    public static TheoryData<TinyModel> Models =>
    [
        TinyModel.LlamaGrouped, TinyModel.LlamaUngrouped, TinyModel.LlamaFused, TinyModel.Qwen2, TinyModel.Qwen3, TinyModel.Phi3, TinyModel.LlamaYarn,
    ];

    [Theory]
    [MemberData(nameof(Models))]
    public async Task ScoreAsync_Blocks_AreTheProductsOfQueriesAndKeys(TinyModel tiny)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        int[] tokens = TinyModels.RandomTokens(Tokens, 1);
        double[][][] queries = Queries(model, tokens);
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(tokens);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(Blocks));

        Assert.Equal(Tokens - 8, scores.PassTokens);
        Assert.Equal(Tokens - 12, scores.Queries(Blocks));
        for (int layer = 0; layer < model.Layers; layer++)
        {
            using var keys = new LayerRows(session.CachedRows, RowKind.Keys, layer);
            for (int head = 0; head < model.Geometry.Heads[0]; head++)
            {
                double[] expected = ByDefinition(Blocks, Tokens, head, queries.Select(token => token[layer]).ToArray(), keys, scores.GroupSize(layer));
                float[] seen = scores.Values(Blocks, layer, head).ToArray();
                Assert.Equal(expected, seen.Select(x => (double)x), (one, other) => Math.Abs(one - other) < (layer == 0 ? Rounding : RoundingOfStates));
                Assert.All(seen[..8].Concat(seen[^4..]), sum => Assert.Equal(0, sum));

                // The last block has 15 tokens.
                Assert.Equal(16, seen[8..24].Sum(), 1e-3);
                Assert.Equal(15, seen[56..71].Sum(), 1e-3);
                Assert.Contains(seen, sum => sum > 2);
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_BlocksOfTheBundledModel_AreTheProductsOfQueriesAndKeys()
    {
        // Its states are rounded to 8 bits before every matrix: a last bit that differs between one token and many makes another state of it. So from the second
        // layer on the sums, which are 1 on average, are compared on average; causal ones are off by 0.7 in some head of each of these layers.
        int[] tokens = fixture.Model.TokenizeDocument(ModelFixture.Document);
        var blocks = new BlockAttention(32, first: 2);
        double[][][] queries = Queries(fixture.Model, tokens);
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options with { CacheType = KvCacheType.F32 });
        await session.PrefillAsync(tokens);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(blocks));

        foreach (int layer in (int[])[0, 1, 17, 29])
        {
            using var keys = new LayerRows(session.CachedRows, RowKind.Keys, layer);
            for (int head = 0; head < scores.Heads[layer]; head++)
            {
                double[] expected = ByDefinition(blocks, tokens.Length, head, queries.Select(token => token[layer]).ToArray(), keys, scores.GroupSize(layer));
                double[] differences = [.. expected.Zip(scores.Values(blocks, layer, head).ToArray(), (one, other) => Math.Abs(one - other))];
                Assert.InRange(layer == 0 ? differences.Max() : differences.Average(), 0, layer == 0 ? Rounding : 0.1);
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_BlocksWithMomentsAndWindows_AreThoseOfEachAlone()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 2));
        float[] logits = session.Logits().ToArray();
        QueryMoments mean = new(QueryMoment.Mean);
        QueryMoments spread = new(QueryMoment.Covariance);
        QueryMoments late = new(QueryMoment.Mean, 21);
        WindowAttention few = new(5);
        BlockAttention others = new(40);

        // Moments from the fourth token on start where their batch does, and share the pass of the first blocks.
        (Statistic[] Asked, long Fed)[] requests =
        [
            ([Blocks], Tokens - 8),
            ([others], Tokens),
            ([Blocks, mean, spread], Tokens),
            ([few, Blocks], Tokens - 8 + 5),
            ([mean, Blocks, few, others], Tokens + Tokens + 5),
            ([Blocks, mean, late], Tokens - 8 + Tokens),
        ];
        foreach ((Statistic[] asked, long fed) in requests)
        {
            using AttentionScores together = await session.ScoreAsync(new ScoreRequest(asked));
            Assert.Equal(fed, together.PassTokens);
            foreach (Statistic statistic in asked)
            {
                using AttentionScores alone = await session.ScoreAsync(new ScoreRequest(statistic));
                for (int layer = 0; layer < model.Layers; layer++)
                {
                    Assert.Equal(
                        alone.Values(statistic, layer, 1).ToArray(),
                        together.Values(statistic, layer, 1).ToArray(),
                        (one, other) => Math.Abs(one - other) < 1e-2f);
                }
            }
        }

        Assert.Equal(Tokens, session.Position);
        Assert.Equal(logits, session.Logits().ToArray(), (one, other) => Math.Abs(one - other) < 0.1f);
    }

    [Theory]
    [InlineData(16, 40, 40)]
    [InlineData(16, 8, 71)]
    [InlineData(1, 0, 0)]
    [InlineData(100, 8, 4)]
    public async Task ScoreAsync_AnyBlocks_AddUpToTheirTokens(int block, int first, int last)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen3));
        using EdgeSession session = model.CreateSession(Options with { BatchSize = 128 });
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 3));
        var statistic = new BlockAttention(block, first, last);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(statistic));

        int counted = Math.Max(0, Tokens - first - last);
        Assert.Equal(counted > 0 ? Tokens - first : 0, scores.PassTokens);
        for (int row = 0; row < scores.Heads.Total; row++)
        {
            Assert.Equal(counted, scores.Values(statistic, scores.Heads.At(row).Layer, scores.Heads.At(row).Head).ToArray().Sum(), 1e-3);
        }
    }

    [Fact]
    public async Task ScoreAsync_BlockLargerThanABatch_SaysWhatToDo()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 4));

        PlanException error = await Assert.ThrowsAsync<PlanException>(() => session.ScoreAsync(new Compactor().Request));

        Assert.Contains(
            "Blocks of 256 tokens are fed whole, and the context's batches hold 40. Take smaller blocks, or a larger BatchSize", error.Message, StringComparison.Ordinal);
        Assert.Equal(Tokens, session.Position);
    }

    [Fact]
    public async Task ScoreAsync_Cancelled_LeavesTheSessionAsItWas()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 5));
        using var source = new CancellationTokenSource();

        // After the first of several batches.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.ScoreAsync(
            new ScoreRequest(Blocks), new Cancelling(source), source.Token));

        Assert.Equal(Tokens, session.Position);
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(Blocks));
        Assert.Equal(Tokens - 12, scores.Queries(Blocks));
    }

    [Fact]
    public async Task ScoreAsync_CompactCache_IsRefused()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 6));
        await session.CompressAsync(new StreamingLLM());

        foreach (Statistic statistic in (Statistic[])[Blocks, new KeyLeverage()])
        {
            await Assert.ThrowsAsync<SessionStateException>(() => session.ScoreAsync(new ScoreRequest(statistic)));
        }
    }

    [Theory]
    [InlineData(TinyModel.LlamaGrouped)]
    [InlineData(TinyModel.Qwen3)]
    [InlineData(TinyModel.LlamaYarn)]
    public async Task ScoreAsync_Leverage_IsThatOfTheCachedKeys(TinyModel tiny)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        using EdgeSession session = model.CreateSession(Options);
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 7));
        var statistic = new KeyLeverage(12, seed: 3, first: 8, last: 4);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(statistic));

        Assert.Equal(0, scores.PassTokens);
        LeverageScores expected = new(session.CachedRows, statistic);
        float[] layer = new float[model.Geometry.KvHeads[0] * Tokens];
        for (int l = 0; l < model.Layers; l++)
        {
            expected.Write(l, layer);
            for (int head = 0; head < model.Geometry.KvHeads[0]; head++)
            {
                Assert.Equal(layer[(head * Tokens)..((head + 1) * Tokens)], scores.Values(statistic, l, head).ToArray());
                Assert.Equal(12, scores.Values(statistic, l, head).ToArray().Sum(), 0.1);
            }
        }
    }

    [Fact]
    public async Task CompressAsync_Compactor_KeepsWhatThePolicyPlans()
    {
        var policy = new Compactor { Ratio = 0.5, Block = 32 };
        using EdgeSession session = await fixture.Reader();
        int tokens = session.Position;
        CompressionPlan plan;
        using (AttentionScores scores = await session.ScoreAsync(policy.Request))
        {
            plan = policy.Plan(scores);
        }

        CompressionReport report = await session.CompressAsync(policy);

        Assert.Equal(plan.TotalRows, report.TotalRowsAfter);
        Assert.Equal("blocks", report.Scores!.Name);
        Assert.Equal(tokens - 8, report.Scores.PassTokens);
        Assert.NotEmpty(await ModelFixture.Answer(session, "How tall is the lighthouse?"));
    }

    // The rotated queries of every token, [token][layer][heads * headSize]: of one token, the sum is the query itself.
    private static unsafe double[][][] Queries(EdgeModel model, int[] tokens)
    {
        using EdgeSession session = model.CreateSession(Options with { ContextSize = tokens.Length + 1 });
        double[][][] queries = new double[tokens.Length][][];
        for (int token = 0; token < tokens.Length; token++)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_queries_keep(session.Handle, true, 0), "edgekv_queries_keep");
            session.Decode([tokens[token]]);
            queries[token] = new double[model.Layers][];
            for (int layer = 0; layer < model.Layers; layer++)
            {
                double[] sums = queries[token][layer] = new double[model.Geometry.Heads[0] * model.Geometry.Layers[0].HeadSizeK];
                fixed (double* pointer = sums)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_queries(session.Handle, NativeQuerySum.RotatedQueries, layer, pointer, (nuint)sums.Length), "edgekv_queries");
                }
            }
        }

        return queries;
    }

    // The softmax of every query over its block, written out; queries: [token][heads * headSize].
    private static double[] ByDefinition(BlockAttention blocks, int tokens, int head, double[][] queries, LayerRows keys, int group)
    {
        double[] sums = new double[tokens];
        int end = tokens - blocks.Last;
        for (int start = blocks.First; start < end; start += blocks.Block)
        {
            int[] block = [.. Enumerable.Range(start, Math.Min(blocks.Block, end - start))];
            foreach (int query in block)
            {
                double[] products = [.. block.Select(j => Product(queries[query], j))];
                double[] weights = [.. products.Select(product => Math.Exp(product - products.Max()))];
                foreach (int j in block)
                {
                    sums[j] += weights[j - start] / weights.Sum();
                }
            }
        }

        return sums;

        double Product(double[] query, int token)
        {
            ReadOnlySpan<float> key = keys.Row(head / group, token);
            double sum = 0;
            for (int i = 0; i < key.Length; i++)
            {
                sum += query[head * key.Length + i] * key[i];
            }

            return sum;
        }
    }

    private sealed class Cancelling(CancellationTokenSource source) : IProgress<double>
    {
        public void Report(double value) => source.Cancel();
    }
}
