using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies.Scorers;

namespace EdgeKV.Tests.Policies;

/// <summary>docs/internals/adding-a-policy.md, step by step, for a toy policy: the rows with the longest values.</summary>
public class ToyPolicyTests
{
    // Step 3: its entry, as PolicyRegistry.Entries has it.
    private static readonly PolicyEntry Entry = PolicyEntry.Of(
        LongestValues.PolicyName,
        () => new LongestValues(),
        new("Rows with the longest values", null, PolicyRows.Equal),
        [Setting.Whole<LongestValues>("recent", policy => policy.Recent, (policy, value) => policy with { Recent = value })]);

    [Fact]
    public void Step1_File_PlansByItsScore()
    {
        using AttentionScores scores = ScorerTests.Scores(new ValueNorms(), 1, 1, 6, [1, 5, 2, 4, 3, 0]);

        CompressionPlan plan = new LongestValues { Ratio = 0.5 }.Plan(scores);

        // The last token is protected, then the two longest.
        Assert.Equal([1, 3, 5], plan.Positions(0, 0).ToArray());
        Assert.Equal([1, 3, 4, 5], new LongestValues { Recent = 2, Budget = Budget.FromRows(4) }.Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Step2_Tests_HoldWhatEveryPolicyPromises() => PolicyPropertyTests.AssertAll(
        new PolicyCase("longest-values", (random, tokens) => new LongestValues { Recent = random.Next(0, tokens) }));

    [Fact]
    public void Step3_Registration_GivesItOptionsByName()
    {
        ICompressionPolicy policy = Entry.Bind(new Dictionary<string, string> { ["recent"] = "3", ["ratio"] = "0.7" }, questions: null, isWrapped: false).Policy;

        Assert.Equal(new LongestValues { Recent = 3, Ratio = 0.7 }, policy);
        Assert.Equal(["ratio", "rows", "bytes", "recent"], Entry.Options.Select(option => option.Name));
        ArgumentException error = Assert.Throws<ArgumentException>(
            () => Entry.Bind(new Dictionary<string, string> { ["recent"] = "-1" }, questions: null, isWrapped: false));
        Assert.Equal("Policy longest-values: recent=-1: Recent rows are 0 and up.", error.Message);
    }

    [Fact]
    public void Step4_Wrappers_TakeIt()
    {
        // Head 0 has the longer values.
        using AttentionScores scores = ScorerTests.Scores(new ValueNorms(), 2, 2, 4, [9, 8, 7, 6, 1, 2, 3, 4]);

        Assert.Equal([3, 1], new AdaKV { Scorer = new LongestValues(), Ratio = 0.5 }.Plan(scores).Counts.ToArray());
        Assert.Equal([2, 3], new ChunkKV { Scorer = new LongestValues(), Length = 2, Ratio = 0.5 }.Plan(scores).Positions(0, 0).ToArray());
    }

    // Step 1: its file in src/EdgeKV/Policies.
    private sealed record LongestValues : ScoredPolicy
    {
        public const string PolicyName = "longest-values";

        public override string Name => PolicyName;

        public int Recent
        {
            get;
            init => field = value >= 0 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "Recent rows are 0 and up.");
        }

        = 1;

        public override ScoreRequest Request => new(new ValueNorms());

        public override ProtectedRows Protect(int tokens, int rows) => new(0, Recent);

        public override void Score(AttentionScores scores, int layer, Span<float> destination)
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                scores.ValueNorms(layer, head).CopyTo(destination[(head * scores.Tokens)..]);
            }
        }
    }
}
