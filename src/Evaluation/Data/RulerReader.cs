using System.Globalization;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>
/// RULER's samples as its generator writes them (arXiv 2404.06654): a line has input, outputs, index and length, and newer ones answer_prefix, which
/// then is not in the input and whose index then is no number of the sample (for niah it is where the answer stands). The file is LENGTH/TASK/validation.jsonl, or TASK.jsonl.
/// </summary>
internal static class RulerReader
{
    public const string Shape = "a sample of RULER has \"input\", a text, and \"outputs\", a list of texts";

    private const string NeedleQuestion = "\nWhat ";
    private const string NeedleAnswer = "? ";
    private const string OtherQuestion = "\nQuestion: ";
    private const string OtherAnswer = "Answer:";

    public static IEnumerable<EvalSample> Read(string path, string text)
    {
        (string task, int? length) = Place(path);
        RulerTask kind = RulerTask.Find(task)
            ?? throw new DatasetException(
                $"{path}: \"{task}\" is no task of RULER; name the folder of validation.jsonl, or the file, {RulerTask.Names}.");
        int number = 0;
        foreach (JsonRow row in DataFile.Rows(path, text, Shape))
        {
            string input = row.Text("input") + row.Text("answer_prefix", string.Empty);
            (int question, int answer) = Cut(row, input, kind);
            yield return new EvalSample
            {
                Dataset = length is null ? "ruler" : $"ruler/{length}",
                Task = task,
                Id = row.Has("index") && !row.Has("answer_prefix") ? row.Name("index") : number.ToString(CultureInfo.InvariantCulture),
                Context = input[..question],
                Question = input[question..answer],
                AnswerPrefix = input[answer..],
                Answers = row.Texts("outputs"),
                Metric = kind.Metric,
                NewTokens = kind.NewTokens,
                Length = length ?? (row.Has("length") ? row.Number("length", 1) : null),
                Source = row.Source,
            };
            number++;
        }
    }

    // The last question of the text is the one that is asked: vt and cwe show a solved one first.
    private static (int Question, int Answer) Cut(JsonRow row, string input, RulerTask kind)
    {
        string start = kind.IsNeedle ? NeedleQuestion : OtherQuestion;
        int question = input.LastIndexOf(start, StringComparison.Ordinal) + 1;
        if (question == 0)
        {
            throw row.Wrong($"the input of a {kind.Name} task has no question, which begins with \"{start[1..]}\" on a new line");
        }

        int answer = kind.IsNeedle
            ? input.IndexOf(NeedleAnswer, question, StringComparison.Ordinal) + NeedleAnswer.Length
            : input.LastIndexOf(OtherAnswer, StringComparison.Ordinal);
        if (PlainText.IsBlank(input[..question]))
        {
            throw row.Wrong("there is no text before the question in the field \"input\"");
        }

        return answer > question
            ? (question, answer)
            : throw row.Wrong($"the question of a {kind.Name} task is not followed by the beginning of its answer, after \"{(kind.IsNeedle ? NeedleAnswer : OtherAnswer)}\"");
    }

    private static (string Task, int? Length) Place(string path)
    {
        string full = Path.GetFullPath(path);
        string name = Path.GetFileNameWithoutExtension(full);
        string folder = Path.GetDirectoryName(full)!;
        if (name == "validation" || name == "test")
        {
            name = Path.GetFileName(folder);
            folder = Path.GetDirectoryName(folder) ?? folder;
        }

        return (name, int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int length) && length > 0 ? length : null);
    }
}
