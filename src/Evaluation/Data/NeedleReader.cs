using System.Globalization;
using System.Text.Json;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>
/// A needle-in-a-haystack folder: documents/*.txt, joined in the order of their names, of which as many sentences are taken as a length allows; needle.txt, put
/// between two of them at each depth; question.txt; and needle.json with the answers, lengths and depths. A sample per length and depth.
/// </summary>
internal static class NeedleReader
{
    public const string Settings = "needle.json";

    private const string Shape =
        "needle.json has \"answers\" (texts), \"lengths\" (tokens of the context) and \"depths\" (0 to 1), and may have \"task\", \"metric\" and \"new_tokens\"";

    private const string Documents = "documents";
    private const string Needle = "needle.txt";
    private const string Question = "question.txt";
    private const string Separator = "\n\n";
    private const int NewTokens = 64;

    public static bool IsOne(string folder) => new[] { Settings, Needle, Question }.Any(name => InputFile.IsRegular(Path.Combine(folder, name)));

    public static IEnumerable<EvalSample> Read(string folder, Func<string, int> countTokens)
    {
        string settings = Path.Combine(folder, Settings);
        JsonRow row = DataFile.Whole(settings, Part(folder, Settings), Shape);
        int[] lengths = Numbers<int>(
            row, "lengths", length => double.IsInteger(length) && length is >= 1 and <= int.MaxValue ? (int)length : null, "a whole number of tokens");
        double[] depths = Numbers<double>(row, "depths", depth => depth is >= 0 and <= 1 ? depth : null, "a number from 0 to 1");
        string metric = row.Text("metric", MetricNames.MatchAll);
        if (metric is not (MetricNames.MatchAll or MetricNames.MatchAny or MetricNames.ExactMatch or MetricNames.F1 or MetricNames.RougeL))
        {
            throw row.Wrong(
                $"the metric \"{metric}\" does not suit a needle; take {MetricNames.MatchAll}, {MetricNames.MatchAny}, {MetricNames.ExactMatch}, {MetricNames.F1} or {MetricNames.RougeL}");
        }

        string needle = Part(folder, Needle).Trim();
        string question = Part(folder, Question).Trim();
        string haystack = Haystack(Path.Combine(folder, Documents));
        int[] ends = Sentences.Ends(haystack);
        foreach (int length in lengths)
        {
            int sentences = Fitting(row, haystack, ends, needle, length, countTokens);
            foreach (double depth in depths)
            {
                EvalSample sample = new()
                {
                    Dataset = string.Create(CultureInfo.InvariantCulture, $"needle/{length}"),
                    Task = row.Text("task", Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)))),
                    Id = string.Create(CultureInfo.InvariantCulture, $"{depth}"),
                    Context = Context(haystack, ends, sentences, needle, depth),
                    Question = question,
                    Answers = row.Texts("answers"),
                    Metric = metric,
                    NewTokens = row.Has("new_tokens") ? row.Number("new_tokens", 1) : NewTokens,
                    Depth = depth,
                    Length = length,
                    Source = settings,
                };
                yield return References.Wrong(sample) is { } wrong ? throw row.Wrong(wrong) : sample;
            }
        }
    }

    /// <summary>As many sentences as fit, with the needle, wherever it lies among them: a needle in the middle may part a token that others share.</summary>
    private static int Fitting(JsonRow row, string haystack, int[] ends, string needle, int length, Func<string, int> countTokens)
    {
        int all = countTokens(Context(haystack, ends, ends.Length, needle, 1));
        if (all < length)
        {
            throw row.Wrong($"the length {length} is more than the documents have ({all} tokens with the needle); add documents or take shorter lengths");
        }

        int sentences = LargestFit.Find(0, ends.Length, count => countTokens(Context(haystack, ends, count, needle, 1)) <= length);
        while (sentences > 0 && new[] { 0, 0.5 }.Any(depth => countTokens(Context(haystack, ends, sentences, needle, depth)) > length))
        {
            sentences--;
        }

        return sentences > 0 ? sentences : throw row.Wrong($"the length {length} has no room for the needle and one sentence of the documents; take longer ones");
    }

    private static string Context(string haystack, int[] ends, int sentences, string needle, double depth)
    {
        string text = sentences == 0 ? string.Empty : haystack[..ends[sentences - 1]].TrimEnd();
        int before = (int)Math.Round(depth * sentences, MidpointRounding.AwayFromZero);
        int at = before == 0 ? 0 : Math.Min(ends[before - 1], text.Length);
        return Sentences.Insert(text, at, needle) + Separator;
    }

    private static string Haystack(string folder)
    {
        string[] files = Directory.Exists(folder) ? [.. DataFile.Files(folder, "*.txt")] : [];
        return files.Length > 0
            ? string.Join(Separator, files.Select(file => NotEmpty(file, DataFile.Text(file)).Trim()))
            : throw new DatasetException($"{folder}: there are no .txt files in this folder; put the documents there that the needle is hidden in.");
    }

    private static string Part(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        return InputFile.IsRegular(path)
            ? NotEmpty(path, DataFile.Text(path))
            : throw new DatasetException($"{path}: this file is missing; a needle-in-a-haystack folder has {Settings}, {Needle}, {Question} and {Documents}/*.txt.");
    }

    private static string NotEmpty(string path, string text) =>
        PlainText.IsBlank(text) ? throw new DatasetException($"{path}: this file is empty, or has characters alone that nobody sees; put text into it or leave it out.")
        : text.Contains('\0', StringComparison.Ordinal) ? throw new DatasetException($"{path}: this file has zero bytes; give a text file.")
        : text;

    private static T[] Numbers<T>(JsonRow row, string name, Func<double, T?> take, string what)
        where T : struct
    {
        List<T> numbers = [];
        foreach (JsonElement element in row.List(name))
        {
            numbers.Add(
                (element.ValueKind == JsonValueKind.Number ? take(element.GetDouble()) : null)
                ?? throw row.Wrong($"the field \"{name}\" holds {JsonRow.Kind(element)}, not {what}"));
        }

        return numbers.Count > 0 ? [.. numbers] : throw row.Wrong($"the field \"{name}\" is an empty list");
    }
}
