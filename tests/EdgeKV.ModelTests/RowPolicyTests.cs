using System.Runtime.InteropServices;
using EdgeKV.Policies;
using EdgeKV.Scoring;
using EdgeKV.Testing;

namespace EdgeKV.ModelTests;

/// <summary>Policies that look at cached rows, with the bundled model, against the plans that the reference's scores give.</summary>
public sealed class RowPolicyTests
{
    public static TheoryData<string> Prompts => Golden.All.Count > 0 ? [.. Golden.All.Select(g => g.Name)] : ["none"];

    [Theory]
    [MemberData(nameof(Prompts))]
    public async Task Plan_KeyDiffByOurRows_OverlapsTheReferences(string prompt)
    {
        Assert.SkipWhen(Golden.All.Count == 0, Golden.Missing);
        Golden golden = Golden.All.Single(g => g.Name == prompt);
        string press = Path.Combine(Places.Shared!, "goldens", prompt, "press_keydiff.f32");
        Assert.SkipUnless(File.Exists(press), $"{prompt} has no KeyDiff scores of the reference.");
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = golden.Context.Length + 64, Threads = 2, LearnedScores = false });
        await session.PrefillAsync(golden.Context, cancellationToken: cancellation);
        using AttentionScores scores = await session.ScoreAsync(new KeyDiff().Request, cancellationToken: cancellation);
        var theirs = new Given(MemoryMarshal.Cast<byte, float>(await File.ReadAllBytesAsync(press, cancellation)).ToArray());

        foreach (double ratio in (double[])[0.5, 0.8])
        {
            double overlap = new KeyDiff { Ratio = ratio }.Plan(scores).Overlap((theirs with { Ratio = ratio }).Plan(scores));
            TestContext.Current.TestOutputHelper?.WriteLine($"keydiff@{ratio}: {overlap:0.000}");
            Assert.True(overlap >= 0.95, $"keydiff@{ratio}: {overlap:0.000}");
        }
    }

    // Scores as they are given, [layers, kvHeads, tokens].
    private sealed record Given(float[] Values) : ScoredPolicy
    {
        public override string Name => "given";

        public override ScoreRequest Request => ScoreRequest.None;

        public override void Score(AttentionScores scores, int layer, Span<float> destination) =>
            Values.AsSpan(layer * destination.Length, destination.Length).CopyTo(destination);
    }
}
