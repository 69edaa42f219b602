using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>The project's own simple layout: a line has context, question and answers, and may say task, id, metric, new_tokens, classes, depth and length.</summary>
internal static class PlainReader
{
    public const string Shape =
        "a plain sample has \"context\", \"question\" (texts) and \"answers\" (a text or a list), " +
        "and may have \"task\", \"id\", \"metric\", \"new_tokens\", \"classes\", \"depth\" and \"length\"";

    private const int NewTokens = 64;

    public static IEnumerable<EvalSample> Read(string path, string text)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        int number = 0;
        foreach (JsonRow row in DataFile.Rows(path, text, Shape))
        {
            string metric = row.Text("metric", MetricNames.MatchAny);
            if (!MetricNames.All.Contains(metric))
            {
                throw row.Wrong($"there is no metric \"{metric}\", only {string.Join(", ", MetricNames.All)}");
            }

            string context = row.Filled("context");
            IReadOnlyList<string> answers = row.Texts("answers");
            bool continues = metric == MetricNames.Perplexity;
            if (continues && answers.Count != 1)
            {
                throw row.Wrong($"a perplexity is measured of one answer, the continuation, and there are {answers.Count}");
            }

            EvalSample sample = new()
            {
                Dataset = name,
                Task = row.Text("task", name),
                Id = row.Has("id") ? row.Name("id") : number.ToString(CultureInfo.InvariantCulture),
                Context = continues ? context : Apart(context),
                Question = continues ? row.Text("question", string.Empty) : row.Filled("question"),
                Answers = answers,
                Classes = metric == MetricNames.Classification ? row.Texts("classes") : [],
                Metric = metric,
                NewTokens = row.Has("new_tokens") ? row.Number("new_tokens", 1) : NewTokens,
                Depth = row.Has("depth") ? row.Share("depth") : null,
                Length = row.Has("length") ? row.Number("length", 1) : null,
                Source = row.Source,
            };
            yield return References.Wrong(sample) is { } wrong ? throw row.Wrong(wrong) : sample;
            number++;
        }
    }

    // Words of the context and of the question must not run into each other.
    private static string Apart(string context) => context.Length > 0 && char.IsWhiteSpace(context[^1]) ? context : context + "\n\n";
}
