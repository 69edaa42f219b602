using EdgeKV.Calibration;
using EdgeKV.Compression;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.ModelTests;

/// <summary>Tables of a tiny model: the same bytes whatever happens meanwhile, and profiles that policies can use.</summary>
public sealed class TableTests : IDisposable
{
    private static readonly CalibrationOptions Options = new() { Tokens = 1200, TextTokens = 150, Threads = 1 };

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-tables-").FullName;

    public static TheoryData<string> Names => [.. Calibrator.Tables];

    private string Checkpoint => Path.Combine(_folder, "checkpoint");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Run_InterruptedAfterEveryUnit_GivesTheSameBytes(string name)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        byte[] expected = Bytes(model, await Whole(model, name, cancellation));
        Assert.Equal(expected, Bytes(model, await Whole(model, name, cancellation)));

        int rounds = 0;
        ProfileTable? table = null;
        while (table is null)
        {
            Assert.True(++rounds < 100, "It never ends.");
            using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            using TableCalibration calibration = Small(model, name);
            int units = 0;
            try
            {
                table = await new TableRun(calibration, model, Checkpoint).RunAsync(
                    (_, _) =>
                    {
                        units++;
                        stop.Cancel();
                    },
                    stop.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Equal(1, units);
            }
        }

        using TableCalibration sizes = Small(model, name);
        Assert.Equal(sizes.Units, rounds);
        Assert.Equal(expected, Bytes(model, table));
    }

    [Fact]
    public async Task Run_LUKVOverOneText_RemovesTheRowsOfLeastUtility()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        int[] text = LongerTexts()[0];
        using LUKVTable calibration = new(model, Options, [text], "random tokens");

        ProfileTable table = await new TableRun(calibration, model, checkpoint: null).RunAsync(report: null, cancellation);

        // Rows that go in the order of their utility lose it as it is: the lowest of all heads first, without the first four and the last.
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1, LearnedScores = false });
        await session.PrefillAsync(text, cancellationToken: cancellation);
        Statistic seen = new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max);
        Statistic norms = new OutputNorms(NormKind.L2);
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(seen, norms), cancellationToken: cancellation);
        int lists = model.Geometry.KvHeads.Total;
        int[] order =
        [
            .. from list in Enumerable.Range(0, lists)
               from token in Enumerable.Range(4, text.Length - 5)
               let layer = list / model.Geometry.KvHeads[0]
               let heads = Enumerable.Range(list % model.Geometry.KvHeads[0] * scores.GroupSize(layer), scores.GroupSize(layer))
               orderby heads.Average(head => (double)scores.Values(seen, layer, head)[token] * scores.Values(norms, layer, head)[token])
               select list,
        ];
        Assert.Equal(["expected-attention", "snapkv", "keydiff", "any scorer"], table.Arrays.Select(array => array.Name));
        Assert.All(table.Arrays, array => Assert.Equal([99, model.Layers, model.Geometry.KvHeads[0]], array.Shape));
        for (int percent = 1; percent <= 99; percent++)
        {
            int target = (int)Math.Round(percent * lists * text.Length / 100.0, MidpointRounding.ToEven);
            float[] removed = table.Arrays[3].Values.Slice((percent - 1) * lists, lists).ToArray();
            Assert.Equal(
                Enumerable.Range(0, lists).Select(list => target > order.Length
                    ? (float)target / lists / text.Length
                    : (float)order.Take(target).Count(other => other == list) / text.Length),
                removed,
                (one, other) => Math.Abs(one - other) < 1e-6);

            // Whatever the scorer, together they lose what the ratio says.
            Assert.All(table.Arrays, array => Assert.Equal(
                (double)target / lists / text.Length, array.Values.Slice((percent - 1) * lists, lists).ToArray().Average(share => (double)share), 6));
        }
    }

    [Fact]
    public async Task Run_DamagedCheckpoint_IsNamed()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using TableCalibration calibration = Small(model, QFilters.PolicyName);
        await new TableRun(calibration, model, Checkpoint).RunAsync(report: null, cancellation);
        string file = Assert.Single(Directory.GetFiles(_folder));
        byte[] bytes = File.ReadAllBytes(file);
        bytes[^100] ^= 1;
        File.WriteAllBytes(file, bytes);

        ProfileException error = await Assert.ThrowsAsync<ProfileException>(() => new TableRun(calibration, model, Checkpoint).RunAsync(report: null, cancellation));

        Assert.Contains(file, error.Message, StringComparison.Ordinal);
        Assert.Contains("is damaged", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_AddedToAProfile_LeavesTheMapAndServesThePolicies()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        ScoreProfile before = RandomProfile.Of(model, 1);
        List<CalibrationProgress> seen = [];

        ScoreProfile profile = await Calibrator.RunAsync(
            model,
            CalibrationTexts.From(Places.Document),
            ["razor-attention", "q-filters", "duo-attention", "lu-kv"],
            before,
            Options with { Checkpoint = Checkpoint },
            new Watcher(seen.Add),
            cancellation);

        Assert.Equal(before.Weights.ToArray(), profile.Weights.ToArray());
        Assert.Equal(before.Provenance, profile.Provenance);
        Assert.Equal(["duo-attention", "lu-kv", "q-filters", "razor-attention"], profile.Tables.Keys);
        Assert.Equal([CalibrationStage.Gates, CalibrationStage.BudgetCurves, CalibrationStage.QueryDirections, CalibrationStage.EchoHeads], seen.Select(progress => progress.Stage).Distinct());
        Assert.Equal(seen.Select(progress => progress.Share).Order(), seen.Select(progress => progress.Share));
        Assert.Equal(1, seen[^1].Share, 9);
        Assert.Empty(Directory.GetFiles(_folder));

        // The session finds the tables in its profile, also below a wrapper.
        foreach (ICompressionPolicy policy in (ICompressionPolicy[])
        [
            new QFilters { Ratio = 0.5 },
            new AdaKV { Scorer = new QFilters(), Ratio = 0.5 },
            new DuoAttention { Sinks = 4, Recent = 8, Ratio = 0.5 },
            new LUKV { Ratio = 0.5 },
            new LUKV { Scorer = new QFilters(), Ratio = 0.5 },
        ])
        {
            using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1, LearnedScores = false, Profile = profile });
            await session.PrefillAsync(TinyModels.RandomTokens(100, 3), cancellationToken: cancellation);
            CompressionReport report = await session.CompressAsync(policy, cancellationToken: cancellation);
            Assert.InRange(report.RatioAchieved, 0.49, 0.7);
        }

        using EdgeSession without = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1, LearnedScores = false, Profile = before });
        await without.PrefillAsync(TinyModels.RandomTokens(100, 3), cancellationToken: cancellation);
        ProfileException error = await Assert.ThrowsAsync<ProfileException>(() => without.CompressAsync(new QFilters(), cancellationToken: cancellation));
        Assert.Contains("--for q-filters", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_CorrectionOfLearnedScores_GoesWithItsMap()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        CalibrationTexts texts = CalibrationTexts.From(Places.Document);

        ScoreProfile profile = await Calibrator.RunAsync(
            model, texts, ["global"], RandomProfile.Of(model, 1), Options, cancellationToken: cancellation);

        Assert.Equal(["global"], profile.Tables.Keys);
        Assert.Contains("with the probe, on the same", profile.Tables["global"].Provenance["r2"], StringComparison.Ordinal);
        using (EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 1024, Threads = 1, Profile = profile }))
        {
            await session.PrefillAsync(TinyModels.RandomTokens(300, 3), cancellationToken: cancellation);
            CompressionReport report = await session.CompressAsync(new GlobalRanking(new ProbedScorer()) { Ratio = 0.5 }, cancellationToken: cancellation);

            // The questions alone were fed, however long the document is.
            Assert.Equal("probed", report.Scores!.Name);
            Assert.Equal(model.TokenizeQuestion(ProbeTaskSet.Text).Length, report.Scores.PassTokens);
            Assert.Equal(0.5, report.RatioAchieved, 2);
        }

        // The default where it fits behind the context.
        foreach ((int room, string scores) in ((int, string)[])[(1024, "probed"), (310, "learned")])
        {
            using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = room, Threads = 1, Profile = profile });
            await session.PrefillAsync(TinyModels.RandomTokens(scores == "probed" ? 300 : session.Limit - 40, 3), cancellationToken: cancellation);
            CompressionReport report = await session.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation);
            Assert.Equal(scores, report.Scores!.Name);
        }

        // Beside a new map it would be wrong, and other tables are not.
        ScoreProfile other = await Calibrator.RunAsync(
            model, texts, ["learned"], profile.With([.. profile.Tables.Values, await Whole(model, "q-filters", cancellation)]), Options, cancellationToken: cancellation);
        Assert.Equal(["q-filters"], other.Tables.Keys);

        ScoreProfile both = await Calibrator.RunAsync(
            model, texts, ["learned", "global"], profile, Options with { Checkpoint = Checkpoint }, cancellationToken: cancellation);
        Assert.Equal(other.Weights.ToArray(), both.Weights.ToArray());
        Assert.NotEqual(profile.Tables["global"].Arrays[0].Values.ToArray(), both.Tables["global"].Arrays[0].Values.ToArray());
        Assert.Empty(Directory.GetFiles(_folder));
    }

    [Fact]
    public async Task Run_ModelThatSaysNoNeedleAgain_SaysSo()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using CompressKVTable calibration = new(model, Options, Prompts(), "random tokens");

        ProfileException error = await Assert.ThrowsAsync<ProfileException>(
            () => new TableRun(calibration, model, checkpoint: null).RunAsync(report: null, TestContext.Current.CancellationToken));

        Assert.Contains("none of the sentences again", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_UnknownName_ListsThoseThereAre()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));

        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(
            () => Calibrator.RunAsync(model, CalibrationTexts.From(Places.Document), ["snapkv"], profile: null, Options, cancellationToken: TestContext.Current.CancellationToken));

        Assert.Contains("'snapkv'; there are learned, compresskv, duo-attention, lu-kv, q-filters, razor-attention, global", error.Message, StringComparison.Ordinal);
    }

    // A model of random weights says nothing again, so every answer counts.
    private static TableCalibration Small(EdgeModel model, string name) => name switch
    {
        CompressKV.PolicyName => new CompressKVTable(model, Options, Prompts(), "random tokens", least: -1),
        RazorAttention.PolicyName => new RazorAttentionTable(model, Options, longestCopy: 20),
        LUKV.PolicyName => new LUKVTable(model, Options, LongerTexts(), "random tokens"),
        QFilters.PolicyName => new QFiltersTable(model, Options, Texts(), "random tokens"),
        DuoAttention.PolicyName => new DuoAttentionTable(model, Options, Texts(), "random tokens"),
        ProbedScorer.TableName => new ProbeTable(model, RandomProfile.Of(model, 1), Options, LongerTexts(), "random tokens"),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "A new table needs its case here."),
    };

    private static NeedlePrompt[] Prompts() => [.. Enumerable.Range(0, 3).Select(i => new NeedlePrompt(TinyModels.RandomTokens(90 + i, i), 20, 60))];

    private static int[][] Texts() => [.. Enumerable.Range(0, 4).Select(i => TinyModels.RandomTokens(50 + i, i))];

    private static int[][] LongerTexts() => [.. Enumerable.Range(0, 3).Select(i => TinyModels.RandomTokens(LUKVTable.LeastTokens + i, i))];

    private static async Task<ProfileTable> Whole(EdgeModel model, string name, CancellationToken cancellation)
    {
        using TableCalibration calibration = Small(model, name);
        return await new TableRun(calibration, model, checkpoint: null).RunAsync(report: null, cancellation);
    }

    private byte[] Bytes(EdgeModel model, ProfileTable table)
    {
        string path = Path.Combine(_folder, "profile");
        RandomProfile.Of(model, 1).With(table).Save(path);
        byte[] bytes = File.ReadAllBytes(path);
        File.Delete(path);
        return bytes;
    }

    private sealed class Watcher(Action<CalibrationProgress> report) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => report(value);
    }
}
