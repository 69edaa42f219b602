using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>RULER's needles in a haystack: sentences that give keys their values are hidden, and the values of some keys are asked for.</summary>
/// <param name="Name">RULER's name.</param>
/// <param name="Hay">What they are hidden in.</param>
/// <param name="UuidKeys">Whether keys are UUIDs; else two words with a hyphen.</param>
/// <param name="UuidValues">Whether values are UUIDs; else numbers of seven digits.</param>
/// <param name="Keys">Keys.</param>
/// <param name="Values">Values of each key.</param>
/// <param name="Queries">Keys whose values are asked for.</param>
internal sealed record NeedleTask(string Name, NeedleTask.Filling Hay, bool UuidKeys, bool UuidValues, int Keys = 1, int Values = 1, int Queries = 1)
{
    private const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
    private const int Depths = 40;
    private const int LeastLines = 1;
    private const int LeastWords = 50;

    public enum Filling
    {
        /// <summary>One sentence over and over; a line is the unit.</summary>
        Noise,

        /// <summary>An essay; a word is the unit.</summary>
        Essay,

        /// <summary>Needles with other keys; a line is the unit.</summary>
        Needles,
    }

    public static IReadOnlyList<NeedleTask> All { get; } =
    [
        new("niah_single_1", Filling.Noise, false, false),
        new("niah_single_2", Filling.Essay, false, false),
        new("niah_single_3", Filling.Essay, false, true),
        new("niah_multikey_1", Filling.Essay, false, false, Keys: 4),
        new("niah_multikey_2", Filling.Needles, false, false),
        new("niah_multikey_3", Filling.Needles, true, true),
        new("niah_multivalue", Filling.Essay, false, false, Values: 4),
        new("niah_multiquery", Filling.Essay, false, false, Keys: 4, Queries: 4),
    ];

    /// <summary>See <see cref="SyntheticTask.Least"/>.</summary>
    public int Least => Hay == Filling.Essay ? LeastWords : LeastLines;

    private string Kind => UuidValues ? "uuids" : "numbers";

    /// <summary>See <see cref="SyntheticTask.Begin"/>.</summary>
    public Func<int, SyntheticText> Begin(string name, Haystack essay)
    {
        SampleRandom random = new(name);
        string[] keys = SampleRandom.Different(Keys, () => Key(random));
        string[] values = SampleRandom.Different(Keys * Values, () => Value(random));
        (string Key, string Value)[] needles = random.Shuffled(values.Select((value, i) => (keys[i / Values], value)));
        int[] asked = random.Sample(Keys, Queries);
        string[] answers = [.. asked.SelectMany(key => values[(key * Values)..((key + 1) * Values)])];
        int[] depths = [.. random.Sample(Depths, needles.Length).Select(Depth).Order()];
        double place = random.NextShare();
        int start = random.Next(essay.Starts);
        (string before, string question, string prefix) = Frame(asked.Select(key => keys[key]).ToArray(), answers.Length);
        return size =>
        {
            (string hay, double depth) = Hay switch
            {
                Filling.Essay => (InEssay(essay.Take(start, size), needles, depths), depths[Array.FindIndex(needles, needle => needle.Value == answers[0])] / 100.0),
                Filling.Noise => InLines(Enumerable.Repeat(Noise, size), size, needles[0], place),
                _ => InLines(Others(name, size, keys), size, needles[0], place),
            };
            return new SyntheticText(before + hay + "\n", question, prefix, answers, answers.Length == 1 ? depth : null);
        };
    }

    // 0 to 100 in 40 steps.
    private static int Depth(int step) => (int)Math.Round(step * 100.0 / (Depths - 1), MidpointRounding.ToEven);

    private string InEssay(string text, (string Key, string Value)[] needles, int[] depths)
    {
        int[] ends = Sentences.Ends(text);
        List<string> parts = [];
        int from = 0;
        for (int i = 0; i <= needles.Length; i++)
        {
            int sentences = i < needles.Length ? ends.Length * depths[i] / 100 : ends.Length;
            int to = sentences == 0 ? 0 : ends[sentences - 1];
            parts.Add(text[from..to].TrimEnd());
            from = to;
            if (i < needles.Length)
            {
                parts.Add(Needle(needles[i]));
            }
        }

        return string.Join(' ', parts);
    }

    private (string Hay, double Depth) InLines(IEnumerable<string> lines, int size, (string Key, string Value) needle, double place)
    {
        List<string> all = [.. lines];
        int at = (int)(place * size);
        all.Insert(at, Needle(needle));
        return (string.Join('\n', all), (double)at / size);
    }

    private IEnumerable<string> Others(string name, int count, string[] keys)
    {
        SampleRandom random = new(name + "/others");
        HashSet<string> seen = [.. keys];
        for (int i = 0; i < count;)
        {
            string key = Key(random);
            if (seen.Add(key))
            {
                yield return Needle((key, Value(random)));
                i++;
            }
        }
    }

    private string Needle((string Key, string Value) needle) => $"One of the special magic {Kind} for {needle.Key} is: {needle.Value}.";

    private string Key(SampleRandom random) =>
        UuidKeys ? random.Uuid() : $"{random.Choose(SyntheticWords.Adjectives)}-{random.Choose(SyntheticWords.Nouns)}";

    private string Value(SampleRandom random) =>
        UuidValues ? random.Uuid() : (1_000_000 + random.Next(9_000_000)).ToString(CultureInfo.InvariantCulture);

    private (string Before, string Question, string AnswerPrefix) Frame(string[] keys, int answers)
    {
        string query = keys.Length == 1 ? keys[0] : string.Join(", ", keys[..^1]) + ", and " + keys[^1];
        (string some, string are, string areAll, string kind) = answers == 1 ? ("A", "is", "is", Kind[..^1]) : ("Some", "are", "are all", Kind);
        return (
            $"{some} special magic {kind} {are} hidden within the following text. Make sure to memorize it. I will quiz you about the {kind} afterwards.\n",
            $"What {areAll} the special magic {kind} for {query} mentioned in the provided text? ",
            $"The special magic {kind} for {query} mentioned in the provided text {are}");
    }
}
