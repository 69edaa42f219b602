using System.Text.Json;
using System.Text.RegularExpressions;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Evaluation.Tests.Synthetic;

public sealed partial class SyntheticDataTests : IDisposable
{
    private const string Noise = @"The grass is green\. The sky is blue\. The sun is yellow\. Here we go\. There and back again\.";
    private const string Frame = @"A special magic number is hidden within the following text\. Make sure to memorize it\. I will quiz you about the number afterwards\.\n";
    private const string Asked =
        @"\nWhat is the special magic number for ([\w' -]+) mentioned in the provided text\? The special magic number for \1 mentioned in the provided text is$";

    private const string SomeFrame = @"Some special magic numbers are hidden within the following text\. Make sure to memorize it\. I will quiz you about the numbers afterwards\.\n";
    private const string UuidFrame = @"A special magic uuid is hidden within the following text\. Make sure to memorize it\. I will quiz you about the uuid afterwards\.\n";
    private const string Uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
    private const string Needle = @"One of the special magic numbers for [\w' -]+ is: \d{7}\.";
    private const string List = @"Below is a numbered list of words\. In these words, some appear more often than others\. Memorize the ones that appear most often\.\n1\. .+ \d+\. \S+\n";
    private const string ListAsked = @"Question: What are the 10 most common words in the above list\? Answer: The top 10 words that appear most often in the list are:";
    private const string Track = @"Memorize and track the chain\(s\) of variable assignment hidden in the following text\.";
    private const string TrackAnswer =
        @"Answer: According to the chain\(s\) of variable assignment in the text above, 5 variables are assgined the value \d{5}, they are: ";

    // RULER's format, which its own development samples have to have as well.
    private static readonly Dictionary<string, string> Formats = new()
    {
        ["niah_single_1"] = $@"^{Frame}({Noise}\n)*{Needle}(\n{Noise})*{Asked.Replace(@"\1", @"\3", StringComparison.Ordinal)}",
        ["niah_single_2"] = $"^{Frame}.* ?{Needle} ?.*{Asked}",
        ["niah_single_3"] = $@"^{UuidFrame}.* ?One of the special magic uuids for [\w' -]+ is: {Uuid}\. ?.*{Asked.Replace("number", "uuid", StringComparison.Ordinal)}",
        ["niah_multikey_1"] = $"^{Frame}(.* ?{Needle}){{4}} ?.*{Asked.Replace(@"\1", @"\2", StringComparison.Ordinal)}",
        ["niah_multikey_2"] = $@"^{Frame}({Needle}\n)+{Asked[2..].Replace(@"\1", @"\2", StringComparison.Ordinal)}",
        ["niah_multikey_3"] = $@"^{UuidFrame}(One of the special magic uuids for {Uuid} is: {Uuid}\.\n)+{Asked[2..].Replace(@"\1", @"\2", StringComparison.Ordinal).Replace("number", "uuid", StringComparison.Ordinal)}",
        ["niah_multivalue"] = $@"^{SomeFrame}(.* ?{Needle}){{4}} ?.*\nWhat are all the special magic numbers for ([\w' -]+) mentioned in the provided text\? The special magic numbers for \2 mentioned in the provided text are$",
        ["niah_multiquery"] = $@"^{SomeFrame}(.* ?{Needle}){{4}} ?.*\nWhat are all the special magic numbers for (([\w' -]+, ){{3}}and [\w' -]+) mentioned in the provided text\? The special magic numbers for \2 mentioned in the provided text are$",
        ["vt"] = $@"^ {Track} (VAR [A-Z]{{3}} = (\d{{5}} |VAR [A-Z]{{3}}  )|{Noise}\n )+Question: Find all variables that are assigned the value \d{{5}} in the text {TrackAnswer}( [A-Z]{{3}}){{5}}\n\n\n\n{Track}\n\n(VAR [A-Z]{{5}} = (\d{{5}} |VAR [A-Z]{{5}}  )|{Noise}\n ?)+\nQuestion: Find all variables that are assigned the value \d{{5}} in the text above\. {TrackAnswer}$",
        ["cwe"] = $@"^{List}{ListAsked}1\. \S+ 2\. .* 10\. \S+\n{List}{ListAsked}$",
        ["fwe"] = @"^Read the following coded text and track the frequency of each coded word\. Find the three most frequently appeared coded words\. (([a-z]{6}|\.\.\.) ?)+\nQuestion: Do not provide any explanation\. Please ignore the dots '\.\.\.\.'\. What are the three most frequently appeared words in the above coded text\? Answer: According to the coded text above, the three most frequently appeared words are:$",
    };

    private static readonly IReadOnlyList<EvalSample> Made = SyntheticData.Generate(new SyntheticOptions { Lengths = [1024, 4096], Samples = 3 }, Tokens);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Generate_Tasks_HaveRulersFormat()
    {
        Assert.Equal(Formats.Keys, SyntheticOptions.AllTasks);
        foreach (EvalSample sample in Made)
        {
            Assert.True(Regex.IsMatch(sample.Context + sample.Question + sample.AnswerPrefix, Formats[sample.Task], RegexOptions.Singleline), sample.Source);
        }
    }

    [Fact]
    public void Formats_AreThoseOfTheDevelopmentSet()
    {
        if (Places.Shared is not { } shared)
        {
            Assert.Skip(Golden.Missing);
            return;
        }

        foreach (EvalSample sample in new[] { "1024", "4096" }.SelectMany(length => Datasets.Read(Path.Combine(shared, "ruler", "dev", length))))
        {
            Assert.True(Regex.IsMatch(sample.Context + sample.Question + sample.AnswerPrefix, Formats[sample.Task], RegexOptions.Singleline), sample.Source);
        }
    }

    [Fact]
    public void Generate_WrittenAsRulerDoes_IsReadAsItWasMade()
    {
        foreach (IGrouping<string, EvalSample> task in Made.Where(sample => sample.Length == 1024).GroupBy(sample => sample.Task))
        {
            _folder.File(
                $"1024/{task.Key}/validation.jsonl",
                string.Concat(task.Select(sample => JsonSerializer.Serialize(
                    new { index = int.Parse(sample.Id, null), input = sample.Context + sample.Question + sample.AnswerPrefix, outputs = sample.Answers }) + "\n")));
        }

        IReadOnlyList<EvalSample> read = Datasets.Read(_folder.Path);

        Assert.Equal(33, read.Count);
        Assert.All(read, sample =>
        {
            EvalSample made = Made.Single(other => (other.Task, other.Id, other.Length) == (sample.Task, sample.Id, sample.Length));
            Assert.Equal((made.Context, made.Question, made.AnswerPrefix), (sample.Context, sample.Question, sample.AnswerPrefix));
            Assert.Equal((made.Metric, made.NewTokens), (sample.Metric, sample.NewTokens));
            Assert.Equal(made.Answers, sample.Answers);
        });
    }

    [Fact]
    public void Generate_EveryLength_IsFilledWithRoomForTheAnswer()
    {
        foreach (EvalSample sample in Made)
        {
            int tokens = Tokens(sample.Context + sample.Question + sample.AnswerPrefix) + sample.NewTokens;
            int unit = sample.Task switch
            {
                "niah_single_1" or "vt" => 30,
                "niah_multikey_2" => 50,
                "niah_multikey_3" => 110,
                "cwe" => 15,
                _ => 10,
            };
            Assert.InRange(tokens, sample.Length!.Value - unit, sample.Length.Value);
        }
    }

    [Fact]
    public void Generate_ReservedTokens_AreLeftFree()
    {
        EvalSample sample = SyntheticData.Generate(new SyntheticOptions { Lengths = [1024], Samples = 1, Tasks = ["niah_single_2"], ReservedTokens = 100 }, Tokens)[0];

        Assert.InRange(Tokens(sample.Context + sample.Question + sample.AnswerPrefix) + sample.NewTokens, 914, 924);
    }

    [Fact]
    public void Generate_Needles_GiveTheAnswersOfTheAskedKeys()
    {
        foreach (EvalSample sample in Made.Where(sample => sample.Task.StartsWith("niah", StringComparison.Ordinal)))
        {
            ILookup<string, string> values = NeedleValue().Matches(sample.Context).ToLookup(match => match.Groups[1].Value, match => match.Groups[2].Value);
            string[] keys = [.. values.Select(group => group.Key).Where(key => Regex.IsMatch(sample.Question, $@"\b{key}\b"))];
            Assert.Equal(sample.Answers.Order(), keys.SelectMany(key => values[key]).Order());
            Assert.Equal(sample.Answers.Count, sample.Answers.Distinct().Count());
        }
    }

    [Fact]
    public void Generate_OneNeedle_LiesAtItsDepth()
    {
        EvalSample[] one = [.. Made.Where(sample => sample.Task.StartsWith("niah_single", StringComparison.Ordinal) || sample.Task.StartsWith("niah_multikey", StringComparison.Ordinal))];
        foreach (EvalSample sample in one)
        {
            double place = (double)sample.Context.IndexOf(sample.Answers[0], StringComparison.Ordinal) / sample.Context.Length;
            Assert.Equal(place, sample.Depth!.Value, 0.25);
        }

        Assert.True(one.Select(sample => sample.Depth).Distinct().Count() > one.Length / 2);
        Assert.All(Made.Except(one), sample => Assert.Null(sample.Depth));
    }

    [Fact]
    public void Generate_VariableTracking_AnswersAreTheChain()
    {
        foreach (EvalSample sample in Made.Where(sample => sample.Task == "vt"))
        {
            string value = Regex.Match(sample.Question, @"\d{5}").Value;
            string text = sample.Context[sample.Context.IndexOf("\n\n\n\n", StringComparison.Ordinal)..];
            Dictionary<string, string> assigned = [];
            foreach (Match match in Assignment().Matches(text))
            {
                string right = match.Groups[2].Value;
                assigned[match.Groups[1].Value] = right.StartsWith("VAR ", StringComparison.Ordinal) ? assigned[right[4..]] : right;
            }

            Assert.Equal(sample.Answers, assigned.Where(pair => pair.Value == value).Select(pair => pair.Key));
        }
    }

    [Theory]
    [InlineData("cwe", 10)]
    [InlineData("fwe", 3)]
    public void Generate_Words_AnswersAreTheMostFrequentWithoutATie(string task, int count)
    {
        foreach (EvalSample sample in Made.Where(sample => sample.Task == task))
        {
            string text = sample.Context[..^1];
            text = task == "cwe" ? text[text.LastIndexOf('\n')..] : text[text.LastIndexOf("words. ", StringComparison.Ordinal)..][7..];
            var words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Where(word => !word.EndsWith('.'))
                .GroupBy(word => word).Select(group => (Word: group.Key, Count: group.Count())).OrderByDescending(word => word.Count).ToArray();

            Assert.Equal(sample.Answers.Order(), words.Take(count).Select(word => word.Word).Order());
            Assert.True(words[count - 1].Count > words[count].Count);
        }
    }

    [Fact]
    public void Generate_SameOptions_IsTheSame()
    {
        IReadOnlyList<EvalSample> again = SyntheticData.Generate(
            new SyntheticOptions { Lengths = [4096], Samples = 1, Tasks = ["fwe", "niah_multiquery", "cwe", "vt"] }, Tokens);

        foreach (EvalSample sample in again)
        {
            EvalSample first = Made.Single(other => (other.Task, other.Id, other.Length) == (sample.Task, sample.Id, sample.Length));
            Assert.Equal(first.Context, sample.Context);
            Assert.Equal(first.Question, sample.Question);
        }
    }

    [Fact]
    public void Generate_AnotherSeedOrNumber_IsAnotherSample()
    {
        IReadOnlyList<EvalSample> other = SyntheticData.Generate(new SyntheticOptions { Lengths = [1024], Samples = 3, Seed = 43 }, Tokens);
        string[] contexts = [.. Made.Where(sample => sample.Length == 1024).Concat(other).Select(sample => sample.Context)];

        Assert.Equal(66, contexts.Length);
        Assert.Equal(contexts.Length, contexts.Distinct().Count());
    }

    [Fact]
    public void Generate_EndlessLength_BeginsTheEssayAgainAndHasWordsEnough()
    {
        IReadOnlyList<EvalSample> samples = SyntheticData.Generate(
            new SyntheticOptions { Lengths = [32768], Samples = 1, Tasks = ["niah_single_2", "cwe"] }, Tokens);

        Assert.All(samples, sample => Assert.InRange(Tokens(sample.Context), 32_500, 32_768));
    }

    [Fact]
    public void Generate_UsersHaystack_IsWhatNeedlesAreHiddenIn()
    {
        string path = _folder.File("mine.txt", string.Concat(Enumerable.Repeat("My own words are here. They are few.\n", 3)));

        EvalSample sample = SyntheticData.Generate(new SyntheticOptions { Lengths = [400], Samples = 1, Tasks = ["niah_single_2"], HaystackPath = path }, Tokens)[0];

        Assert.Contains("My own words are here. They are few. My own words", sample.Context, StringComparison.Ordinal);
    }

    [Fact]
    public void Generate_BadOptions_AreNamed()
    {
        Assert.Contains("A cwe sample of 200 tokens is too short: the smallest has ", Wrong(new() { Lengths = [200], Tasks = ["cwe"] }), StringComparison.Ordinal);
        Assert.Contains("no synthetic task \"qa_1\"; there are niah_single_1, ", Wrong(new() { Tasks = ["qa_1"] }), StringComparison.Ordinal);
        Assert.Contains("at least one task", Wrong(new() { Tasks = [] }), StringComparison.Ordinal);
        Assert.Contains("named twice", Wrong(new() { Lengths = [1024, 1024] }), StringComparison.Ordinal);
        Assert.Contains("cannot have 0 samples", Wrong(new() { Samples = 0 }), StringComparison.Ordinal);
        Assert.Contains("cannot leave -1 tokens free", Wrong(new() { ReservedTokens = -1 }), StringComparison.Ordinal);
        Assert.Contains("this haystack is empty", Wrong(new() { HaystackPath = _folder.File("empty.txt", " \n") }), StringComparison.Ordinal);
        Assert.Contains("cannot be read", Wrong(new() { HaystackPath = Path.Combine(_folder.Path, "none.txt") }), StringComparison.Ordinal);
    }

    // Words in pieces of four characters, and everything else by itself: roughly what tokenizers do.
    private static int Tokens(string text)
    {
        int tokens = 0;
        int run = 0;
        foreach (char c in text)
        {
            if (char.IsAsciiLetter(c))
            {
                tokens += run++ % 4 == 0 ? 1 : 0;
            }
            else
            {
                run = 0;
                tokens += c == ' ' ? 0 : 1;
            }
        }

        return tokens;
    }

    private static string Wrong(SyntheticOptions options) => Assert.Throws<DatasetException>(() => SyntheticData.Generate(options, Tokens)).Message;

    [GeneratedRegex(@"One of the special magic \w+ for (\S+) is: ([0-9a-f-]+)\.")]
    private static partial Regex NeedleValue();

    [GeneratedRegex(@"VAR ([A-Z]{5}) = (\d{5}|VAR [A-Z]{5}) ")]
    private static partial Regex Assignment();
}
