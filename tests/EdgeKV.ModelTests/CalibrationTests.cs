using EdgeKV.Calibration;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.ModelTests;

/// <summary>Learning profiles of tiny models from a text of their own.</summary>
public sealed class CalibrationTests : IDisposable
{
    private static readonly CalibrationOptions Options = new() { Tokens = 1200, TextTokens = 150, Threads = 1 };

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-calibration-").FullName;

    public static TheoryData<TinyModel> Models => [.. TinyModels.Supported];

    private string Checkpoint => Path.Combine(_folder, "checkpoint");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Run_EveryArchitecture_PredictsBetterThanTheMean(TinyModel tiny)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));

        ScoreProfile profile = await Calibrator.RunAsync(model, Texts(), Options, cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(model.Fingerprint, profile.Model);
        Assert.True(R2(profile) > 0, $"R2 is {profile.Provenance["r2"]}");
    }

    [Fact]
    public async Task Run_InterruptedFiveTimes_GivesTheSameBytes()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        byte[] expected = Bytes(await Calibrator.RunAsync(model, Texts(), Options, cancellationToken: cancellation));

        CalibrationOptions options = Options with { Checkpoint = Checkpoint };
        double reached = 0;
        for (int i = 0; i < 5; i++)
        {
            using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            double aim = (i + 1) / 6.0;
            List<double> shares = [];
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Calibrator.RunAsync(
                model,
                Texts(),
                options,
                new Watcher(share =>
                {
                    shares.Add(share);
                    if (share >= aim)
                    {
                        stop.Cancel();
                    }
                }),
                stop.Token));
            Assert.True(shares[0] > reached, $"It began again at {shares[0]}, having reached {reached}.");
            reached = shares[^1];
        }

        byte[] resumed = Bytes(await Calibrator.RunAsync(model, Texts(), options, cancellationToken: cancellation));

        Assert.Equal(expected, resumed);
        Assert.Empty(Directory.GetFiles(_folder, "checkpoint*"));
    }

    [Fact]
    public async Task Run_DamagedCheckpoint_IsNamed()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        CalibrationOptions options = Options with { Checkpoint = Checkpoint };
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Calibrator.RunAsync(model, Texts(), options, new Watcher(_ => stop.Cancel()), stop.Token));
        string file = Assert.Single(Directory.GetFiles(_folder, "checkpoint*"));
        File.WriteAllBytes(file, File.ReadAllBytes(file)[..1000]);

        ProfileException exception = await Assert.ThrowsAsync<ProfileException>(
            () => Calibrator.RunAsync(model, Texts(), options, cancellationToken: cancellation));

        Assert.Contains(file, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_CheckpointThatCannotBeWritten_IsFoundAtOnce()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        Directory.CreateDirectory(_folder);
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "no folder");
        string checkpoint = Path.Combine(file, "checkpoint");

        OutputException exception = await Assert.ThrowsAsync<OutputException>(
            () => Calibrator.RunAsync(model, Texts(), Options with { Checkpoint = checkpoint }, cancellationToken: TestContext.Current.CancellationToken));

        Assert.Contains(checkpoint, exception.Message, StringComparison.Ordinal);
        Assert.Contains("cannot be written", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_ModelWithoutACompactCache_IsRefusedByName()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Gemma3));

        UnsupportedModelException exception = await Assert.ThrowsAsync<UnsupportedModelException>(
            () => Calibrator.RunAsync(model, Texts(), Options, cancellationToken: TestContext.Current.CancellationToken));

        Assert.Contains("sliding", exception.Message, StringComparison.Ordinal);
    }

    private static CalibrationTexts Texts() => CalibrationTexts.From(Places.Document);

    private static double R2(ScoreProfile profile) => double.Parse(profile.Provenance["r2"].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);

    private byte[] Bytes(ScoreProfile profile)
    {
        string path = Path.Combine(_folder, "profile");
        profile.Save(path);
        return File.ReadAllBytes(path);
    }

    private sealed class Watcher(Action<double> report) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => report(value.Share);
    }
}
