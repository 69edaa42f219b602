using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Configuration;

public class PolicyRegistryTests
{
    // Policies that have to be given something before they can say what they need, and what.
    internal static IReadOnlyDictionary<string, string> Incomplete { get; } = new Dictionary<string, string>
    {
        ["compresskv"] = "Calibration",
        ["duo-attention"] = "Gates",
        ["finch"] = "Window",
        ["lu-kv"] = "Curves",
        ["q-filters"] = "Directions",
        ["razor-attention"] = "Heads",
        ["threshold"] = "Limit",
    };

    [Theory]
    [InlineData("kvcompose", true)]
    [InlineData("KVCompose", true)]
    [InlineData("KVCOMPOSE-Unstructured", false)]
    public void Create_KnownName_MakesThePolicy(string name, bool structured)
    {
        Budget budget = Budget.FromRows(12);

        ICompressionPolicy policy = PolicyRegistry.Create(name, budget, TaskSet.Window(3));

        Assert.Equal(new KVCompose { Structured = structured, Budget = budget, TaskSet = TaskSet.Window(3) }, policy);
    }

    [Theory]
    [InlineData("global")]
    [InlineData("GLOBAL")]
    public void Create_Global_RanksByATaskSetOnlyIfGiven(string name)
    {
        Budget budget = Budget.FromRows(12);

        Assert.Equal(new GlobalRanking(new LearnedScorer()) { Budget = budget }, PolicyRegistry.Create(name, budget));
        Assert.Equal(
            new GlobalRanking(new TaskScorer { TaskSet = TaskSet.Context }) { Budget = budget },
            PolicyRegistry.Create(name, budget, TaskSet.Context));
    }

    [Fact]
    public void Entries_Traits_AreThoseOfTheRequests()
    {
        Assert.All(PolicyRegistry.Entries.Where(entry => entry.ExtraPass is (PolicyTrait.No or PolicyTrait.Yes) && !Incomplete.ContainsKey(entry.Name)), entry =>
        {
            ScoreRequest request = entry.Create().Request;
            bool pass = request.Statistics.Any(
                statistic => statistic is TaskAttention or ReconstructionAttention or FutureAttention or ValueCapacity or BlockAttention || statistic == WindowAttention.All);
            Assert.Equal(entry.ExtraPass == PolicyTrait.Yes, pass);
            Assert.Equal(entry.Profile == PolicyTrait.Yes, request.Statistics.Any(statistic => statistic is Learned));

            // A reconstruction asks for the context itself, whatever it ends with; blocks end where they begin.
            Assert.Equal(
                entry.QueryAware == PolicyTrait.No,
                request.Statistics.All(statistic => !statistic.NeedsAttention || statistic is ReconstructionAttention or BlockAttention));
        });
    }

    [Fact]
    public void Entries_WithoutWhatTheyMustBeGiven_NameIt() => Assert.All(Incomplete, policy => Assert.Contains(
        policy.Value,
        Assert.Throws<ArgumentException>(() => PolicyRegistry.Find(policy.Key).Create().Request).Message,
        StringComparison.Ordinal));

    [Fact]
    public void Create_TaskSetForAPolicyWithout_IsRefused() => Assert.Contains(
        "tova takes no task set",
        Assert.Throws<ArgumentException>(() => PolicyRegistry.Create("tova", Budget.FromRatio(0.5), TaskSet.Context)).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Default_IsTheGlobalRanking() => Assert.Equal("global", PolicyRegistry.Default);

    [Fact]
    public void Create_UnknownName_ListsTheNamesThereAre()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => PolicyRegistry.Create("kvzap", Budget.FromRatio(0.5)));

        Assert.Contains("'kvzap'", error.Message, StringComparison.Ordinal);
        Assert.Contains("global, kvcompose, kvcompose-unstructured", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Entries_EveryPolicy_KnowsItsName()
    {
        Assert.All(PolicyRegistry.Entries, entry =>
        {
            ICompressionPolicy policy = entry.Create(Budget.FromRatio(0.5), null);
            Assert.Equal(entry.Name, policy.Name);
            Assert.NotEmpty(entry.Summary);
            Assert.DoesNotContain('\n', entry.Summary);
            Assert.Equal(policy is IRowScorer || entry.Name == GlobalRanking.PolicyName, entry.ScoresRows);
            Assert.Equal(Budget.FromRatio(0.5), policy.Budget);
            Assert.Equal(Budget.FromRows(3), policy.WithBudget(Budget.FromRows(3)).Budget);
            Assert.Equal(entry.Name, PolicyRegistry.Find(entry.Name.ToUpperInvariant()).Name);
        });
        Assert.Equal(PolicyRegistry.Entries.Count, PolicyRegistry.Entries.Select(entry => entry.Name).Distinct().Count());
        Assert.Contains(PolicyRegistry.Entries, entry => entry.Name == PolicyRegistry.Default);
    }
}
