using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Sessions;
using LLama.Native;

namespace EdgeKV.ModelTests;

/// <summary>Sessions over models whose layers differ in heads, and some of which have no cache.</summary>
public sealed class LayersThatDifferTests
{
    private const int Tokens = 300;

    private static readonly string[] Policies =
    [
        "kvcompose", "kvcompose-unstructured", "snapkv:window=16", "ragged:scorer=snapkv", "ragged:scorer=knorm,head-floor=0.3", "ada:scorer=knorm", "pyramidkv:window=16",
        "expected-attention", "compactor", "critical-ada:scorer=knorm", "global:source=repeat", "global:source=learned", "simlayerkv:recent=8", "kvzip", "lagkv", "chunk:scorer=knorm",
    ];

    public static TheoryData<TinyModel> Models => [.. TinyModels.WithLayersThatDiffer];

    public static TheoryData<TinyModel, string> ModelsAndPolicies
    {
        get
        {
            TheoryData<TinyModel, string> data = [];
            foreach (TinyModel model in TinyModels.WithLayersThatDiffer)
            {
                foreach (string policy in Policies)
                {
                    data.Add(model, policy);
                }
            }

            return data;
        }
    }

    [Fact]
    public void Geometry_OfTheTinyModels_IsThatOfTheirLayers()
    {
        using EdgeModel openElm = EdgeModel.Load(TinyModels.PathOf(TinyModel.OpenElm));
        using EdgeModel deci = EdgeModel.Load(TinyModels.PathOf(TinyModel.Deci));

        Assert.Equal(new CacheGeometry(new AttentionLayer(0, 4, 1, 64, 64), new AttentionLayer(1, 6, 3, 64, 64), new AttentionLayer(2, 8, 2, 64, 64)), openElm.Geometry);
        Assert.Equal(new CacheGeometry(new AttentionLayer(0, 8, 2, 64, 64), new AttentionLayer(3, 4, 4, 64, 64)), deci.Geometry);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Clear_AfterCompression_PositionsCanBeShifted(TinyModel tiny)
    {
        int[] tokens = TinyModels.RandomTokens(100, 3);
        float[] shifted = Shifted(compress: true);
        Assert.Equal(Shifted(compress: false), shifted);

        float[] Shifted(bool compress)
        {
            using LLamaSharp.Foreign foreign = LLamaSharp.Foreign.Tiny(tiny);
            using KvContext kv = KvContext.Attach(foreign.Context);
            if (compress)
            {
                foreign.Decode(tokens, 0);
                kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, tokens.Length, 5));
                kv.Clear();
            }

            foreign.Decode(tokens.AsSpan(0, 20), 0);
            foreign.Context.NativeHandle.MemorySequenceRemove((LLamaSeqId)0, 5, 10);
            foreign.Context.NativeHandle.MemorySequenceAdd((LLamaSeqId)0, 10, -1, -5);
            Assert.Equal(DecodeResult.Ok, foreign.Decode(tokens.AsSpan(20, 1), 15));
            return [.. foreign.Context.NativeHandle.GetLogitsIth(0)];
        }
    }

    [Theory]
    [MemberData(nameof(ModelsAndPolicies))]
    public async Task Compress_ByPolicy_KeepsItsPlanWithinTheBudget(TinyModel tiny, string spec)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = RandomProfile.Of(model, 1), ContextSize = 1024 });
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 3), cancellationToken: cancellation);
        ICompressionPolicy policy = PolicyOptions.Parse(spec).Create().WithBudget(Budget.FromRatio(0.6));

        CompressionReport report = await session.CompressAsync(policy, cancellationToken: cancellation);

        // Some round by layer or by chunk.
        Assert.InRange(report.RatioAchieved, 0.55, 0.8);
        Assert.Equal(model.Geometry.KvHeads, report.KvHeads);
        Assert.Equal(session.Kv!.KeptPlan().Counts.ToArray(), report.RowsAfter);
        Assert.Equal(model.VocabularySize, session.Decode([5]).Length);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Compress_CompressKVWithACalibration_SharesByLayer(TinyModel tiny)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512, LearnedScores = false });
        await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 3), cancellationToken: cancellation);
        int layers = model.Geometry.Layers.Count;
        double sum = layers * (layers + 1) / 2;
        CompressKV policy = new()
        {
            Calibration = new CompressKVCalibration(
                new HeadsByLayer(model.Geometry.Layers.Select(layer => Enumerable.Range(0, Math.Min(4, layer.Heads)))),
                Enumerable.Range(1, layers).Select(layer => layer / sum)),
            Budget = Budget.FromRatio(0.6),
        };

        CompressionReport report = await session.CompressAsync(policy, cancellationToken: cancellation);

        Assert.True(report.IsComposite);
        Assert.InRange(report.RatioAchieved, 0.6, 0.61);
        Assert.True(session.Kv!.KeptPlan().Rows(layers - 1, 0) > session.Kv!.KeptPlan().Rows(0, 0));
    }

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Compress_DefaultPolicyInBytes_StaysBelowThemAndGoesOnAfterLoading(TinyModel tiny)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        ScoreProfile profile = RandomProfile.Of(model, 1);
        SessionOptions options = new() { Profile = profile, ContextSize = 1024, Threads = 1 };
        using EdgeSession session = model.CreateSession(options);
        int[] tokens = TinyModels.RandomTokens(Tokens + 24, 3);
        await session.PrefillAsync(tokens.AsMemory(0, Tokens), cancellationToken: cancellation);
        long bytes = model.KvMemory.BytesPerToken(KvCacheType.F16) * (Tokens / 3 + 64);

        CompressionReport report = await session.CompressAsync(Budget.FromBytes(bytes), new CompressOptions { Room = 32 }, cancellationToken: cancellation);

        Assert.InRange(session.Cache.Bytes, bytes / 2, bytes);
        Assert.Equal(report.TotalRowBytesAfter, Enumerable.Range(0, report.Layers).Sum(layer => report.LayerRowsAfter(layer) * report.RowBytes[layer]));
        session.Kv!.DecodeAll(tokens.AsSpan(Tokens, 8));
        string path = Path.Combine(Places.Cache, $"state-{tiny}-{Environment.ProcessId}");
        try
        {
            await session.SaveAsync(path, cancellation);
            using EdgeSession loaded = model.CreateSession(options);
            await loaded.LoadAsync(path, cancellation);
            Assert.Equal(session.Kv!.KeptPlan(), loaded.Kv!.KeptPlan());
            Assert.True(session.Cache.HasLearnedScores && loaded.Cache.HasLearnedScores);
            Assert.True(session.Kv!.DecodeAll(tokens.AsSpan(Tokens + 8)).BitEquals(loaded.Kv!.DecodeAll(tokens.AsSpan(Tokens + 8))));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Profile_SavedAndLoaded_HasTheHeadsOfEachLayer(TinyModel tiny)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        float[] values = [.. Enumerable.Range(0, model.Geometry.KvHeads.Total).Select(list => list / 10f)];
        ScoreProfile profile = RandomProfile.Of(model, 1).With(ProfileTable.OfHeads(
            "duo-attention", model.Geometry.KvHeads, [("gates", values)], others: [], new Dictionary<string, string>()));
        string path = Path.Combine(Places.Cache, $"profile-{tiny}-{Environment.ProcessId}.edgekv");
        try
        {
            profile.Save(path);
            ScoreProfile loaded = ScoreProfile.Load(path);
            Assert.Equal(model.Geometry.KvHeads, loaded.KvHeads);
            Assert.Equal(profile.Weights.ToArray(), loaded.Weights.ToArray());
            Assert.Equal(model.Geometry.KvHeads, loaded.Tables["duo-attention"].ByHead("gates").Heads);
            Assert.Equal(values, loaded.Tables["duo-attention"].ByHead("gates").Values.ToArray());

            using EdgeSession session = model.CreateSession(new SessionOptions { Profile = loaded, ContextSize = 512 });
            await session.PrefillAsync(TinyModels.RandomTokens(Tokens, 3), cancellationToken: TestContext.Current.CancellationToken);
            CompressionReport report = await session.CompressAsync(
                PolicyOptions.Parse("duo-attention:sinks=4,recent=16").Create().WithBudget(Budget.FromRatio(0.4)), cancellationToken: TestContext.Current.CancellationToken);
            Assert.InRange(report.RatioAchieved, 0.4, 0.6);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
