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
}
