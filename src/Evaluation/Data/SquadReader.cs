using System.Globalization;
using System.Text.Json;

namespace EdgeKV.Evaluation;

/// <summary>
/// SQuAD's JSON, versions 1.1 (arXiv 1606.05250) and 2.0, whose questions without an answer are left out. A sample per question, with our own words around
/// it: SQuAD has none.
/// </summary>
internal static class SquadReader
{
    public const string Shape =
        "SQuAD's JSON has \"data\", a list with \"paragraphs\", which have \"context\" and \"qas\", which have \"id\", \"question\" and \"answers\" with \"text\"";

    // The longest answer of its development set has fewer.
    private const int NewTokens = 48;

    public static IEnumerable<EvalSample> Read(JsonRow root)
    {
        foreach ((int article, JsonElement element) in root.List("data").Index())
        {
            JsonRow about = root.Inner(element, Place("data", article));
            foreach ((int paragraph, JsonElement part) in about.List("paragraphs").Index())
            {
                JsonRow row = about.Inner(part, Place("paragraphs", paragraph));
                string context = row.Filled("context");
                foreach ((int question, JsonElement asked) in row.List("qas").Index())
                {
                    if (Sample(context, row.Inner(asked, Place("qas", question))) is { } sample)
                    {
                        yield return sample;
                    }
                }
            }
        }
    }

    private static EvalSample? Sample(string context, JsonRow row)
    {
        if (row.Has("is_impossible") && row.Element.GetProperty("is_impossible").ValueKind == JsonValueKind.True)
        {
            return null;
        }

        string[] answers = [.. row.List("answers").Select((answer, i) => row.Inner(answer, Place("answers", i)).Filled("text")).Distinct()];
        return new EvalSample
        {
            Dataset = "squad",
            Task = "squad",
            Id = row.Name("id"),
            Context = $"Read this text. A question about it follows.\n\n{context}\n\n",
            Question = $"Question: {row.Filled("question").Trim()}\nAnswer it with as few words of the text as possible.",
            Answers = answers.Length > 0 ? answers : throw row.Wrong("the field \"answers\" is an empty list, and \"is_impossible\" is not true"),
            Metric = MetricNames.F1,
            NewTokens = NewTokens,
            StopsAtNewline = true,
            Source = row.Source,
        };
    }

    private static string Place(string list, int index) => string.Create(CultureInfo.InvariantCulture, $"{list}[{index}]");
}
