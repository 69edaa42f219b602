using System.Globalization;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>LongBench's and LongBench-E's samples (arXiv 2308.14508), one a line.</summary>
internal static class LongBenchReader
{
    public const string Shape = "a sample of LongBench has \"input\", \"context\", \"answers\", \"dataset\", \"all_classes\" and \"_id\"";

    private const string Balanced = "_e";

    public static IEnumerable<EvalSample> Read(string path, string text)
    {
        bool balanced = Path.GetFileNameWithoutExtension(path).EndsWith(Balanced, StringComparison.Ordinal);
        int number = 0;
        foreach (JsonRow row in DataFile.Rows(path, text, Shape))
        {
            LongBenchTask task = TaskOf(row);
            string input = task.NeedsInput ? row.Filled("input") : row.Text("input");
            string context = row.Filled("context");
            string prefix = task.AnswerPrefix ?? LastLine(input);
            string asked = task.AnswerPrefix is null ? input[..^prefix.Length] : input;
            if (task.NeedsInput && PlainText.IsBlank(asked))
            {
                throw row.Wrong("there is no text before the answer's beginning in the field \"input\"");
            }

            IReadOnlyList<string> answers = row.Texts("answers");
            if (task.Metric == MetricNames.Retrieval && References.WithoutParagraph(answers) is { } wrong)
            {
                throw row.Wrong(wrong);
            }

            yield return new EvalSample
            {
                Dataset = balanced ? "longbench-e" : "longbench",
                Task = task.Name,
                Id = row.Has("_id") ? row.Name("_id") : number.ToString(CultureInfo.InvariantCulture),
                Context = task.Opening + context + "\n\n",
                Question = string.Format(CultureInfo.InvariantCulture, task.Question, asked),
                AnswerPrefix = prefix,
                Answers = answers,
                Classes = task.Metric == MetricNames.Classification ? row.Texts("all_classes") : [],
                Metric = task.Metric,
                NewTokens = task.NewTokens,
                StopsAtNewline = task.FirstLineCounts,
                Length = row.Has("length") ? row.Number("length", 1) : null,
                Source = row.Source,
            };
            number++;
        }
    }

    private static LongBenchTask TaskOf(JsonRow row)
    {
        string name = row.Text("dataset");
        name = name.EndsWith(Balanced, StringComparison.Ordinal) ? name[..^Balanced.Length] : name;
        return LongBenchTask.Find(name) ?? throw row.Wrong(
            LongBenchTask.IsUnsupported(name)
                ? $"the task \"{name}\" cannot be judged here: its metric splits Chinese into words with a dictionary that EdgeKV has not; leave its file out"
                : $"\"{name}\" is no task of LongBench; there are {LongBenchTask.Names}");
    }

    // Examples end like "Type: city", and the input like "Type:", which the model goes on from.
    private static string LastLine(string input)
    {
        int start = input.TrimEnd().LastIndexOf('\n') + 1;
        string line = input[start..];
        return line.TrimEnd() is [.., ':' or '：'] ? line : string.Empty;
    }
}
