using System.Text.Json;

namespace EdgeKV.Measurements.Subjects;

/// <summary>One sample of RULER as its generator writes them, cut where the question begins.</summary>
/// <param name="Task">For example niah_single_2.</param>
/// <param name="Index">Its number in the task.</param>
/// <param name="Context">Everything before the question.</param>
/// <param name="Question">The question.</param>
/// <param name="AnswerPrefix">The words that the answer begins with.</param>
/// <param name="Answers">What the answer must contain.</param>
public sealed record RulerSample(string Task, int Index, string Context, string Question, string AnswerPrefix, IReadOnlyList<string> Answers)
{
    private const string QuestionStart = "\nWhat ";

    /// <summary>New tokens that the reference allows: UUIDs are long.</summary>
    public int NewTokens => Task == "niah_single_3" || Task == "niah_multikey_3" ? 48 : 24;

    /// <summary>The reference's samples of a length, 1024 or 2048, without those that its full cache does not answer.</summary>
    public static IEnumerable<RulerSample> Ablation(string shared, int length)
    {
        foreach (string line in File.ReadLines(Path.Combine(shared, "reference", length == 1024 ? "ablation_1k.jsonl" : "ablation_2k.jsonl")))
        {
            using JsonDocument json = JsonDocument.Parse(line);
            if (json.RootElement.GetProperty("scores").EnumerateObject().Any())
            {
                yield return Read(
                    shared, length, json.RootElement.GetProperty("task").GetString()!, json.RootElement.GetProperty("index").GetInt32());
            }
        }
    }

    /// <summary>A sample of shared/ruler/dev.</summary>
    public static RulerSample Read(string shared, int length, string task, int index)
    {
        string path = Path.Combine(shared, "ruler", "dev", $"{length}", task, "validation.jsonl");
        foreach (string line in File.ReadLines(path))
        {
            using JsonDocument json = JsonDocument.Parse(line);
            if (json.RootElement.GetProperty("index").GetInt32() == index)
            {
                string input = json.RootElement.GetProperty("input").GetString()!;
                int question = input.LastIndexOf(QuestionStart, StringComparison.Ordinal) + 1;
                int prefix = input.IndexOf("? ", question, StringComparison.Ordinal) + 2;
                return new RulerSample(
                    task,
                    index,
                    input[..question],
                    input[question..prefix],
                    input[prefix..],
                    [.. json.RootElement.GetProperty("outputs").EnumerateArray().Select(o => o.GetString()!)]);
            }
        }

        throw new InvalidDataException($"{path} has no sample {index}.");
    }

    /// <summary>RULER's string match over all answers: the share of them that a text contains, in any case.</summary>
    public double Score(string text) => Answers.Average(a => text.Contains(a, StringComparison.OrdinalIgnoreCase) ? 1.0 : 0.0);
}
