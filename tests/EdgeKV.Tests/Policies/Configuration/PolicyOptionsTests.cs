using System.Text.Json;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Configuration;

public class PolicyOptionsTests
{
    public static TheoryData<string, ICompressionPolicy> Texts => new()
    {
        { "snapkv", new SnapKV() },
        { "SnapKV:Window=32, kernel=7", new SnapKV { Window = 32, Kernel = 7 } },
        { "snapkv:ratio=0.5", new SnapKV { Ratio = 0.5 } },
        { "snapkv:rows=300", new SnapKV { Budget = Budget.FromRows(300) } },
        { "tova:bytes=1000000", new Tova { Budget = Budget.FromBytes(1_000_000) } },
        { "ada:alpha=0.1,composed=true", new AdaKV { Alpha = 0.1, Composed = true } },
        { "ada:scorer=tova", new AdaKV { Scorer = new Tova() } },
        { "ada:scorer.window=32", new AdaKV { Scorer = new SnapKV { Window = 32 } } },
        { "ada:scorer=streaming-llm,scorer.sinks=2,rows=9", new AdaKV { Scorer = new StreamingLLM { Sinks = 2 }, Budget = Budget.FromRows(9) } },
        { "threshold:limit=-6.5", new GlobalRanking(new LearnedScorer()) { RegisteredAs = GlobalRanking.ThresholdName, Recent = 128, Limit = -6.5 } },
        {
            "layer-budgets:counts=ada,counts.scorer=snapkv,counts.scorer.window=8",
            new LayerBudgets { Counts = new AdaKV { Scorer = new SnapKV { Window = 8 } } }
        },
        {
            "kvcompose:aggregate=mean,value_norm=true,LowerBound=3,task-set=window-9",
            new KVCompose { Aggregate = TaskAggregate.Mean, ValueNorm = true, LowerBound = 3, TaskSet = TaskSet.Window(9) }
        },
        { "kvcompose-unstructured:task-set=question", new KVCompose { Structured = false, TaskSet = TaskSet.Question("Who?") } },
        { "global:source=both,threshold=-7,protected=2", new GlobalRanking(new SumScorer(new TaskScorer(), new LearnedScorer()) { Sinks = 2 }) { Limit = -7 } },
    };

    [Theory]
    [MemberData(nameof(Texts))]
    public void Create_Text_SetsTheRecordsOptions(string text, ICompressionPolicy expected) =>
        Assert.Equal(expected, PolicyOptions.Parse(text).Create(["Who?"]));

    [Theory]
    [InlineData("""{"policy": "snapkv", "window": 32}""", "snapkv:window=32")]
    [InlineData("""{"policy": "ada", "scorer": {"policy": "snapkv", "window": 32}, "composed": true, "ratio": null}""", "ada:scorer=snapkv,scorer.window=32,composed=true")]
    [InlineData("""{"window": "32", "Policy": "SnapKV"}""", "snapkv:window=32")]
    public void From_Json_IsTheSameAsText(string json, string text)
    {
        using var document = JsonDocument.Parse(json);

        var options = PolicyOptions.From(document.RootElement);

        Assert.Equal(text, options.ToString());
        Assert.Equal(PolicyOptions.Parse(text).Create(), options.Create());
    }

    [Fact]
    public void From_ConfigurationSections_IsTheSameAsText()
    {
        Dictionary<string, string?> section = new()
        {
            ["Policy"] = "ada",
            ["Alpha"] = "0.1",
            ["Scorer"] = null,
            ["Scorer:Policy"] = "snapkv",
            ["Scorer:Window"] = "32",
        };

        Assert.Equal(new AdaKV { Alpha = 0.1, Scorer = new SnapKV { Window = 32 } }, PolicyOptions.From(section).Create());
    }

    [Theory]
    [InlineData("snapkv:windw=3", "Policy snapkv has no option 'windw'; it has ratio, rows, bytes, window, kernel.")]
    [InlineData("snapkv:window=0", "Policy snapkv: window=0: A window is 1 token and up.")]
    [InlineData("snapkv:kernel=4", "Policy snapkv: kernel=4: A kernel is an odd number of 1 and up.")]
    [InlineData("snapkv:window=3.5", "Policy snapkv: window=3.5: must be a whole number.")]
    [InlineData("snapkv:ratio=1", "Policy snapkv: ratio=1: A compression ratio is the share removed: 0 to below 1.")]
    [InlineData("snapkv:ratio=0.5,rows=9", "ratio and rows exclude each other")]
    [InlineData("snapkv:window=3,Window=4", "given twice")]
    [InlineData("kvcompose:lower-bound=3,lowerbound=4", "given twice")]
    [InlineData("snapkv:window.size=3", "has no option 'window.size'")]
    [InlineData("ada:scorer.ratio=0.5", "Policy snapkv has no option 'ratio'; it has window, kernel.")]
    [InlineData("ada:scorer=tova,scorer.window=5", "Policy tova has no option 'window'; it has none.")]
    [InlineData("ada:scorer=best", "There is no policy 'best'; there are global,")]
    [InlineData("ada:scorer=pyramidkv", "pyramidkv does not score rows; global, kvcompose,")]
    [InlineData("ada:composed=yes", "must be true or false")]
    [InlineData("kvcompose:aggregate=median", "must be one of max, mean.")]
    [InlineData("kvcompose:task-set=moon", "must be one of context, repeat, question, window, or window-N")]
    [InlineData("kvcompose:task-set=question", "There is no question here.")]
    [InlineData("kvcompose-unstructured:first-layer-largest=true", "needs Structured")]
    [InlineData("threshold", "threshold needs a Limit")]
    [InlineData("best", "There is no policy 'best'")]
    [InlineData("snapkv:", "'' is no option; write NAME=VALUE")]
    [InlineData("snapkv:=3", "'=3' is no option")]
    public void Create_WrongText_NamesWhatThereIs(string text, string expected) => Assert.Contains(
        expected, Assert.ThrowsAny<ArgumentException>(() => PolicyOptions.Parse(text).Create()).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("""[1]""", "not Array")]
    [InlineData("""{"window": 3}""", "No 'policy' is named; there are global,")]
    [InlineData("""{"policy": "snapkv", "window": [3]}""", "Option 'window' is text, a number, true, false or an object, not Array.")]
    public void From_WrongJson_SaysWhatIsExpected(string json, string expected)
    {
        using var document = JsonDocument.Parse(json);

        Assert.Contains(
            expected, Assert.Throws<ArgumentException>(() => PolicyOptions.From(document.RootElement)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_EveryPolicy_TakeTheirOwnDefaults()
    {
        Assert.All(PolicyRegistry.Entries, entry =>
        {
            IEnumerable<PolicyOption> given = entry.Options.Where(option => option.Default is not null);
            var options = PolicyOptions.From(
                [KeyValuePair.Create<string, string?>("policy", entry.Name), .. given.Select(option => KeyValuePair.Create(option.Name, option.Default))]);

            Assert.Equal(entry.Name, options.Policy);
            Assert.All(entry.Options, option => Assert.NotEmpty(option.Kind));
            if (!PolicyRegistryTests.Incomplete.ContainsKey(entry.Name))
            {
                Assert.Equal(entry.Create().Request, options.Create().Request);
                Assert.Equal(entry.Name, options.Create().Name);
            }
        });
    }
}
