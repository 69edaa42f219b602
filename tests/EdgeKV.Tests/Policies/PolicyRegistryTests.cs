using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

public class PolicyRegistryTests
{
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

        Assert.Equal(new GlobalTopK { Source = RowScore.Learned, Budget = budget }, PolicyRegistry.Create(name, budget));
        Assert.Equal(
            new GlobalTopK { Source = RowScore.Repeat, Budget = budget, TaskSet = TaskSet.Context },
            PolicyRegistry.Create(name, budget, TaskSet.Context));
    }

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
        });
        Assert.Contains(PolicyRegistry.Entries, entry => entry.Name == PolicyRegistry.Default);
    }
}
