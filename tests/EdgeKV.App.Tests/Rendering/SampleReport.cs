using EdgeKV.Cli.Asking;

namespace EdgeKV.App.Tests.Rendering;

/// <summary>A small run of <c>ask</c> with figures that are easy to check by hand.</summary>
internal static class SampleReport
{
    public static AskReport Composite { get; } = new(
        new ModelFacts("/models/tiny.gguf", "tiny llama", 2, 4, 2, 4096),
        new DocumentFacts("story.txt", 5000, 1000),
        "kvcompose",
        "context",
        new ScoreFacts("context", 1000, 8, 0, 0),
        "f16",
        null,
        0.8,
        0.8,
        new CacheFacts(4000, 2 << 20, 4 << 20),
        new CacheFacts(800, 419430, 1 << 20),
        null,
        [[300, 300], [100, 100]],
        new StageSeconds(0.25, 4, 8, 0.0125, 0.05),
        new SpeedFacts(250, 30, 75),
        [new AnswerFacts("Who lives here?", new AnswerText("A \"keeper\" & <Ärger>.", 7, 0.5, 6, 0.2), new AnswerText("A keeper.", 4, 0.1, 3, 0.04))]);

    public static AskReport Ragged { get; } = Composite with
    {
        Policy = "global",
        TaskSet = null,
        Scores = new ScoreFacts("learned", 0, null, 207_720, 0.00215),
        Threshold = -6.5,
        RatioAsked = null,
        Rows = [[500, 100], [150, 50]],
        TokensPerSecond = new SpeedFacts(250, null, 75),
        Answers = [new AnswerFacts("Who lives here?", null, new AnswerText("A keeper.", 4, 0.1, 3, 0.04))],
    };

    public static AskReport WhileReading { get; } = Ragged with
    {
        Full = Ragged.Full with { BufferBytes = null },
        PeakBytes = 3 << 19,
    };
}
