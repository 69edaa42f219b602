using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

public class ScoreRequestTests
{
    private static readonly Statistic Repeat = new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max);

    [Fact]
    public void Equality_Requests_CompareAsSets()
    {
        Assert.Equal(new ScoreRequest(Repeat, new KeyNorms()), new ScoreRequest(new KeyNorms(), Repeat, new KeyNorms()));
        Assert.Equal(new ScoreRequest(Repeat, new KeyNorms()).GetHashCode(), new ScoreRequest(new KeyNorms(), Repeat).GetHashCode());
        Assert.NotEqual(new ScoreRequest(Repeat), new ScoreRequest(Repeat, new KeyNorms()));
        Assert.NotEqual(new ScoreRequest(Repeat), new ScoreRequest(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Sum)));
        Assert.NotEqual(new ScoreRequest(new WindowAttention(8)), new ScoreRequest(new WindowAttention(9)));
        Assert.Equal(new ScoreRequest(new WindowAttention(int.MaxValue)), new ScoreRequest(WindowAttention.All));
        Assert.Equal(ScoreRequest.None, new ScoreRequest());
    }

    [Fact]
    public void Union_SeveralRequests_NamesEachStatisticOnce()
    {
        var union = ScoreRequest.Union(new ScoreRequest(new WindowAttention(64), Repeat), ScoreRequest.None, new ScoreRequest(Repeat, new Learned()));

        Assert.Equal([new WindowAttention(64), Repeat, new Learned()], union.Statistics);
        Assert.Equal(ScoreRequest.None, ScoreRequest.Union());
    }

    [Fact]
    public void Needs_EachStatistic_SaysWhatItTakes()
    {
        (Statistic Statistic, bool Attention, bool FullCache)[] cases =
        [
            (Repeat, true, true), (new WindowAttention(3), true, true), (new KeyNorms(), false, true), (new ValueNorms(), false, true),
            (new Learned(), false, false), (new ReconstructionAttention(), true, true), (new BlockAttention(), true, true), (new KeyLeverage(), false, true),
        ];

        Assert.All(cases, expected =>
        {
            var request = new ScoreRequest(expected.Statistic);
            Assert.Equal(expected.Attention, request.NeedsAttention);
            Assert.Equal(expected.FullCache, request.NeedsFullCache);
            Assert.Equal(expected.Attention, expected.Statistic.IsPerAttentionHead);
        });
        Assert.False(ScoreRequest.None.NeedsAttention);
        Assert.False(ScoreRequest.None.NeedsFullCache);
        Assert.True(new ScoreRequest(new Learned(), Repeat).NeedsAttention);
    }

    [Fact]
    public void Name_Requests_AreCalledByWhoseAttentionDecides()
    {
        (TaskSet Tasks, string Name)[] sets =
        [
            (TaskSet.Context, "context"), (TaskSet.Repeat, "repeat"), (TaskSet.Question("Who?"), "question"), (TaskSet.Window(3), "window"),
            (TaskSet.Texts("Say it."), "texts"),
        ];

        Assert.All(sets, set =>
        {
            var sum = new TaskAttention(set.Tasks, AttentionAggregate.Sum);
            Assert.Equal(set.Name, set.Tasks.Name);
            Assert.Equal(set.Name, new ScoreRequest(sum).Name);
            Assert.Equal(set.Name, new ScoreRequest(sum, new ValueNorms()).Name);
            Assert.Equal("both", new ScoreRequest(sum, new Learned()).Name);
        });
        Assert.Equal("learned", new ScoreRequest(new Learned()).Name);
        Assert.Equal("reconstruction", new ScoreRequest(new ReconstructionAttention(), new ReconstructionAttention(512)).Name);
        Assert.Equal("blocks", new ScoreRequest(new BlockAttention(), new KeyLeverage()).Name);
        Assert.Equal("window", new ScoreRequest(new WindowAttention(1), new WindowAttention(64)).Name);
        Assert.Equal("repeat+window+learned", new ScoreRequest(Repeat, new WindowAttention(1), new Learned()).Name);
        Assert.Equal("key norms+value norms", new ScoreRequest(new KeyNorms(), new ValueNorms()).Name);
        Assert.Equal("none", ScoreRequest.None.Name);
    }

    [Fact]
    public void ToString_Statistics_AreTheWordsOfErrors()
    {
        Assert.Equal(
            "max(repeat), sum(window), window(64), window(all), reconstruction(2048), blocks(256), key leverage(48), key norms, value norms, learned",
            new ScoreRequest(
                Repeat,
                new TaskAttention(TaskSet.Window(3), AttentionAggregate.Sum),
                new WindowAttention(64),
                WindowAttention.All,
                new ReconstructionAttention(),
                new BlockAttention(),
                new KeyLeverage(),
                new KeyNorms(),
                new ValueNorms(),
                new Learned()).ToString());
        Assert.Equal("nothing", ScoreRequest.None.ToString());
        Assert.Throws<ArgumentOutOfRangeException>(() => new WindowAttention(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ReconstructionAttention(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlockAttention(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlockAttention(first: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlockAttention(last: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyLeverage(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyLeverage(1025));
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyLeverage(first: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyLeverage(last: -1));
        Assert.Throws<ArgumentException>(() => new ScoreRequest(Repeat, null!));
    }

    [Fact]
    public void Statistics_OutOfRange_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new FutureAttention(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new FutureAttention(0, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ValueCapacity(-1, 1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ValueCapacity(0, 0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ValueCapacity(0, 1, double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => new LateWindowAttention(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlockRank(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlockRank(0, 0));
    }

    [Fact]
    public void NeedsPass_MadeOfQueries_IsTrue()
    {
        Assert.True(new ScoreRequest(new FutureAttention(4, 512)).NeedsPass);
        Assert.True(new ScoreRequest(new ValueCapacity(4, 512, 5)).NeedsPass);
        Assert.False(new ScoreRequest(new KeyLikeness(), new BlockRank(4, 128), new KeyLeverage()).NeedsPass);
    }
}
