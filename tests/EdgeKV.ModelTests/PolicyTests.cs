using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.ModelTests;

/// <summary>Policies by our own scores, with the bundled model, against the plans that the reference's scores give.</summary>
public sealed class PolicyTests
{
    private static readonly ScoredPolicy[] Policies = [new SnapKV(), new Tova(), new Knorm(), new KeyDiff(), new StreamingLLM()];

    public static TheoryData<string> Prompts => Golden.All.Count > 0 ? [.. Golden.All.Select(g => g.Name)] : ["none"];

    [Theory]
    [MemberData(nameof(Prompts))]
    public async Task Plan_OurScores_OverlapsTheReferences(string prompt)
    {
        Assert.SkipWhen(Golden.All.Count == 0, Golden.Missing);
        Golden golden = Golden.All.Single(g => g.Name == prompt);
        Assert.SkipWhen(golden.PressPlan(new Tova()) is null, $"{prompt} has no scores of the reference's presses.");
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = golden.Context.Length + 64, Threads = Math.Min(2, SessionOptions.MostThreads), LearnedScores = false });
        await session.PrefillAsync(golden.Context, cancellationToken: cancellation);

        // One scoring serves all of them.
        using AttentionScores scores = await session.ScoreAsync(
            ScoreRequest.Union(Policies.Select(policy => policy.Request)), cancellationToken: cancellation);

        Assert.Equal(64, scores.PassTokens);
        foreach (ScoredPolicy policy in Policies)
        {
            // StreamingLLM's golden scores are those of 0.5, all equal at the cut of 0.8: no plan follows from them there.
            foreach (double ratio in policy is StreamingLLM ? (double[])[0.5] : [0.5, 0.8])
            {
                ScoredPolicy asked = policy with { Ratio = ratio };
                double overlap = asked.Plan(scores).Overlap(golden.PressPlan(asked)!);
                TestContext.Current.TestOutputHelper?.WriteLine($"{policy.Name}@{ratio}: {overlap:0.000}");
                Assert.True(overlap >= 0.95, $"{policy.Name}@{ratio}: {overlap:0.000}");
            }
        }
    }
}
