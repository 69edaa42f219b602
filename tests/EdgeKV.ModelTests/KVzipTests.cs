using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.ModelTests;

/// <summary>Scores of a context's reconstruction: against the reference, and against the chunks written out and fed one by one.</summary>
public sealed class KVzipTests
{
    private const double Rounding = 1e-3;

    public static TheoryData<string> Prompts => [.. Golden.All.Where(g => g.Press("kvzip") is not null).Select(g => g.Name).DefaultIfEmpty(Golden.Missing)];

    [Theory]
    [MemberData(nameof(Prompts))]
    public async Task Plan_OurOwnScores_IsCloseToTheReference(string prompt)
    {
        Assert.SkipWhen(Golden.All.All(g => g.Name != prompt), Golden.Missing);
        Golden golden = Golden.All.Single(g => g.Name == prompt);
        float[] reference = golden.Press("kvzip")!;
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { Threads = Math.Min(2, SessionOptions.MostThreads) });
        await session.PrefillAsync(golden.Context, cancellationToken: cancellation);

        using AttentionScores scores = await session.ScoreAsync(new KVzip().Request, cancellationToken: cancellation);

        Assert.Equal(Array.FindIndex(reference, value => value != 0), scores.PrefixTokens);
        var given = new StatisticValues(ScoreBuffer.FromMemory(reference));
        using AttentionScores theirs = new(
            CacheGeometry.Uniform(golden.Layers, golden.KvHeads, golden.KvHeads, 1, 1), golden.Context.Length, [new(new ReconstructionAttention(), given)]);
        foreach (double ratio in new[] { 0.5, 0.8 })
        {
            // The reference that made the goldens had no first tokens that score 1.
            KVzip policy = new() { Ratio = ratio, Sinks = 0 };
            Assert.InRange(policy.Plan(theirs).Overlap(policy.Plan(scores)), 0.95, 1);
        }
    }

    [Theory]
    [InlineData(150, 64)]
    [InlineData(90, 6)]
    public async Task Score_Chunks_AreThoseFedOneByOne(int tokens, int chunk)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(Places.Model);
        int[] context = model.TokenizeDocument(await File.ReadAllTextAsync(Places.Document, cancellation))[..tokens];
        int prefix = model.TokenizeDocument(string.Empty).Length;
        using EdgeSession session = model.CreateSession(new SessionOptions { Threads = 1, ContextSize = 512 });
        await session.PrefillAsync(context, cancellationToken: cancellation);
        ReconstructionAttention statistic = new(chunk);
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(statistic), cancellationToken: cancellation);

        using EdgeSession other = model.CreateSession(new EngineOptions(Places.Model) { Threads = 1, ContextSize = 512 }.Session);
        other.Kv!.Prefill(context);
        int[] change = model.Tokenize("<|im_end|>\n<|im_start|>assistant\n", parseSpecial: true);
        int fed = 0;
        for (int start = prefix; start < tokens; start += chunk)
        {
            int end = Math.Min(start + chunk, tokens);
            int[] asking = start == prefix
                ? model.Tokenize("\n\nRepeat the previous context exactly.")
                : [.. model.Tokenize("\n\nRepeat the part of the previous context exactly, starting with"), .. context[Math.Max(start - 8, start - chunk)..start]];
            int[] task = [.. asking, .. change, .. context[start..end]];
            (float[] max, _, _) = other.Kv!.DecodeScored(task, tokens, see: [0, 4, start, end]);
            other.Rollback(tokens);
            fed += task.Length;

            for (int row = 0; row < scores.Heads.Total; row++)
            {
                float[] ours = scores.Values(statistic, scores.Heads.At(row).Layer, scores.Heads.At(row).Head)[start..end].ToArray();
                Assert.All(ours.Zip(max[(row * tokens + start)..(row * tokens + end)]), pair => Assert.Equal(pair.Second, pair.First, Rounding));
            }
        }

        Assert.Equal(fed, scores.PassTokens);
        Assert.Equal(0, scores.Values(statistic, 0, 0)[0]);
        Assert.Equal(prefix, scores.PrefixTokens);
    }
}
