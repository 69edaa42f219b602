using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

public class TaskSetTests
{
    [Fact]
    public void Equality_TaskSets_CompareByValue()
    {
        Assert.Equal(TaskSet.Question("Who?", "When?"), TaskSet.Question(new List<string> { "Who?", "When?" }));
        Assert.Equal(TaskSet.Question("Who?").GetHashCode(), TaskSet.Question("Who?").GetHashCode());
        Assert.NotEqual(TaskSet.Question("Who?", "When?"), TaskSet.Question("When?", "Who?"));
        Assert.NotEqual(TaskSet.Question("Who?"), TaskSet.Texts("Who?"));
        Assert.Equal(TaskSet.Window(8), TaskSet.Window(8));
        Assert.NotEqual(TaskSet.Window(8), TaskSet.Window(9));
        Assert.NotEqual(TaskSet.Context, TaskSet.Window(9));
        Assert.NotEqual(TaskSet.Context, TaskSet.Repeat);
        Assert.Same(TaskSet.Repeat, TaskSet.Repeat);
    }

    [Fact]
    public void Factories_BadInput_Throw()
    {
        Assert.Throws<ArgumentException>(() => TaskSet.Question());
        Assert.Throws<ArgumentException>(() => TaskSet.Question("Who?", " "));
        Assert.Throws<ArgumentException>(() => TaskSet.Texts(""));
        Assert.Throws<ArgumentNullException>(() => TaskSet.Texts((IEnumerable<string>)null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => TaskSet.Window(0));
    }

    [Fact]
    public void Question_ListChangedLater_KeepsItsTexts()
    {
        List<string> questions = ["Who?"];
        TaskSet tasks = TaskSet.Question(questions);

        questions[0] = "When?";

        Assert.Equal(["Who?"], Assert.IsType<QuestionTaskSet>(tasks).Questions);
    }

    [Theory]
    [InlineData(ScoreStatistics.Max, true)]
    [InlineData(ScoreStatistics.Sum | ScoreStatistics.ValueNorms, true)]
    [InlineData(ScoreStatistics.KeyNorms | ScoreStatistics.ValueNorms, false)]
    [InlineData(ScoreStatistics.Learned, false)]
    [InlineData(ScoreStatistics.Learned | ScoreStatistics.Max, true)]
    [InlineData(ScoreStatistics.None, false)]
    public void NeedsAttention_NormsAlone_DoNot(ScoreStatistics statistics, bool expected) =>
        Assert.Equal(expected, new ScoreRequest(TaskSet.Context, statistics).NeedsAttention);

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
            Assert.Equal(set.Name, set.Tasks.Name);
            Assert.Equal(set.Name, new ScoreRequest(set.Tasks, ScoreStatistics.Sum).Name);
            Assert.Equal("both", new ScoreRequest(set.Tasks, ScoreStatistics.Max | ScoreStatistics.Learned).Name);
            Assert.Equal("learned", new ScoreRequest(set.Tasks, ScoreStatistics.Learned).Name);
            Assert.Equal("none", new ScoreRequest(set.Tasks, ScoreStatistics.KeyNorms).Name);
        });
    }
}
