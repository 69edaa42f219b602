namespace EdgeKV.Evaluation;

/// <summary>One of LongBench's tasks (arXiv 2308.14508): metric and tokens are LongBench's, the words around the text are ours.</summary>
/// <param name="Name">What the field dataset says.</param>
/// <param name="Metric">One of <see cref="MetricNames"/>.</param>
/// <param name="NewTokens">Tokens of an answer.</param>
/// <param name="Opening">Before the text.</param>
/// <param name="Question">After the text, with {0} for the field input.</param>
/// <param name="AnswerPrefix">How the answer begins; null: with the last line of the input, such as "Type:".</param>
/// <param name="FirstLineCounts">Whether LongBench judges the first line alone.</param>
internal sealed record LongBenchTask(
    string Name, string Metric, int NewTokens, string Opening, string Question, string? AnswerPrefix = "Answer:", bool FirstLineCounts = false)
{
    private const string Passages = "Below are several passages. A question about them follows.\n\n";
    private const string ShortAnswer = "Answer from what stands above, with the answer alone and nothing else.\nQuestion: {0}\n";

    private static readonly LongBenchTask[] All =
    [
        new("narrativeqa", MetricNames.F1, 128, "Below is a story or a film script. A question about it follows.\n\n", ShortAnswer),
        new(
            "qasper",
            MetricNames.F1,
            128,
            "Below is a scientific article. A question about it follows.\n\n",
            "Answer from the article with a few words or one sentence. " +
            "Where the article does not tell, answer \"unanswerable\"; to a yes/no question answer \"yes\", \"no\" or \"unanswerable\".\nQuestion: {0}\n"),
        new("multifieldqa_en", MetricNames.F1, 64, "Below is a text. A question about it follows.\n\n", ShortAnswer),
        new("hotpotqa", MetricNames.F1, 32, Passages, ShortAnswer),
        new("2wikimqa", MetricNames.F1, 32, Passages, ShortAnswer),
        new("musique", MetricNames.F1, 32, Passages, ShortAnswer),
        new("gov_report", MetricNames.RougeL, 512, "Below is a government report.\n\n", "Summarize the report on one page.\n", "Summary:"),
        new(
            "qmsum",
            MetricNames.RougeL,
            512,
            "Below is the transcript of a meeting. A question or a request about it follows.\n\n",
            "Answer from the transcript with one sentence or more.\nQuestion: {0}\n"),
        new("multi_news", MetricNames.RougeL, 512, "Below are several news articles.\n\n", "Summarize all of them together on one page.\n", "Summary:"),
        new("trec", MetricNames.Classification, 64, "Below are questions, each with its type. Say of the last one which type it has.\n\n", "{0}", null, true),
        new("triviaqa", MetricNames.F1, 32, "Below are questions with their answers. Answer the last one from its passage, with the answer alone.\n\n", "{0}", null, true),
        new("samsum", MetricNames.RougeL, 128, "Below are dialogues, each with its summary. Summarize the last one in a few short sentences.\n\n", "{0}", null, true),
        new("lsht", MetricNames.Classification, 64, "下面是一些新闻及其类别。请判断最后一条新闻的类别。\n\n", "{0}", null, true),
        new(
            "passage_count",
            MetricNames.Count,
            32,
            "Below are numbered paragraphs, some of them more than once.\n\n",
            "How many different paragraphs are there, each counted once? Answer with the number alone.\n",
            "The number is: "),
        new(
            "passage_retrieval_en",
            MetricNames.Retrieval,
            32,
            "Below are 30 numbered paragraphs. A summary of one of them follows.\n\n",
            "Summary:\n\n{0}\n\nWhich paragraph does it summarize? Answer with its name, such as \"Paragraph 1\".\n",
            "It is: "),
        new(
            "passage_retrieval_zh",
            MetricNames.Retrieval,
            32,
            "下面是一些编号的段落，之后是其中一个段落的摘要。\n\n",
            "摘要：\n\n{0}\n\n这是哪个段落的摘要？只回答段落的编号，例如\"段落1\"。\n",
            "答案："),
        new("lcc", MetricNames.EditSimilarity, 64, "Below is the beginning of a source file.\n\n", "{0}\nWrite the line of code that comes next, and nothing else.\n", ""),
        new(
            "repobench-p",
            MetricNames.EditSimilarity,
            64,
            "Below are source files of one project.\n\n",
            "{0}\nWrite the line of code that comes next, and nothing else.\n",
            ""),
    ];

    /// <summary>Tasks whose metrics split Chinese text into words as the Python package jieba does.</summary>
    private static readonly string[] Unsupported = ["multifieldqa_zh", "dureader", "vcsum"];

    /// <summary>Whether the question is in the field input. Code goes on from the context, where input may be empty.</summary>
    public bool NeedsInput => Question.Contains("{0}", StringComparison.Ordinal) && Metric != MetricNames.EditSimilarity;

    /// <summary>For messages.</summary>
    public static string Names { get; } = string.Join(", ", All.Select(task => task.Name));

    /// <summary>A task by its name; null: there is none that is supported.</summary>
    public static LongBenchTask? Find(string name) => All.FirstOrDefault(task => task.Name == name);

    /// <summary>Whether LongBench has this task, but its metric is not here.</summary>
    public static bool IsUnsupported(string name) => Unsupported.Contains(name);
}
