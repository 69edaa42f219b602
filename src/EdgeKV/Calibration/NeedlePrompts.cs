using EdgeKV.Models;

namespace EdgeKV.Calibration;

/// <summary>
/// Needle prompts of our own wording: a sentence that has nothing to do with the text around it, which is that of the calibration's documents.
/// The authors of CompressKV take 3 needles, 20 lengths from 1000 tokens up to the model's range and 10 depths.
/// </summary>
internal static class NeedlePrompts
{
    private static readonly int[] Lengths = [500, 1000];

    private static readonly double[] Depths = [0, 0.25, 0.5, 0.75, 1];

    private static readonly (string Sentence, string Question)[] Needles =
    [
        ("The best thing to do on a rainy afternoon in Lisbon is to ride tram twenty-eight from one end to the other with a bag of roasted chestnuts.",
            "What is the best thing to do on a rainy afternoon in Lisbon?"),
        ("Maria Keller hid the spare key of the old observatory under the third blue flowerpot beside the greenhouse door.",
            "Where did Maria Keller hide the spare key of the old observatory?"),
        ("The soup that won the harbour festival was made from smoked mackerel, green apples and a spoonful of mustard seeds.",
            "What was the soup that won the harbour festival made from?"),
    ];

    /// <summary>What the prompts are, in words.</summary>
    public static string Description => FormattableString.Invariant(
        $"{Needles.Length} needles x {Lengths.Length} lengths ({string.Join(", ", Lengths)} tokens of text) x {Depths.Length} depths (0 to 100 %)");

    /// <summary>The prompts in their order; those that the model's window cannot hold with an answer are left out.</summary>
    /// <param name="model">The model.</param>
    /// <param name="texts">What stands around the needles.</param>
    /// <param name="textTokens">Tokens of a text as they are taken.</param>
    /// <param name="seed">Which parts of the texts are taken.</param>
    /// <param name="answerTokens">Tokens of an answer.</param>
    /// <exception cref="CalibrationTextException">The texts are too short.</exception>
    public static IReadOnlyList<NeedlePrompt> Of(EdgeModel model, CalibrationTexts texts, int textTokens, int seed, int answerTokens)
    {
        // Documents and sources take turns; people ask about documents.
        string[] documents = [.. texts.Take(heldOut: false, textTokens, seed).Where((_, index) => index % 2 == 0).Take(2 * Needles.Length).Select(text => text.Text)];
        List<NeedlePrompt> prompts = [];
        foreach ((int needle, (string sentence, string question)) in Needles.Index())
        {
            string[] lines = [.. Enumerable.Range(0, documents.Length).SelectMany(i => documents[(2 * needle + i) % documents.Length].Split('\n'))];
            int[] sizes = Array.ConvertAll(lines, line => model.Tokenize(line + "\n").Length);
            foreach (int length in Lengths)
            {
                int count = LinesOf(sizes, length);
                if (count == 0)
                {
                    throw new CalibrationTextException($"The texts in {texts.Name} are too short for needle prompts of {length} tokens; give longer ones.");
                }

                int total = sizes.Take(count).Sum();
                foreach (double depth in Depths)
                {
                    NeedlePrompt prompt = Prompt(model, lines.AsSpan(0, count), LinesOf(sizes, (int)(depth * total)), sentence, question);
                    if (prompt.Tokens.Length + answerTokens <= model.Window)
                    {
                        prompts.Add(prompt);
                    }
                }
            }
        }

        return prompts;
    }

    // The first lines that have so many tokens together; 0: there are not enough.
    private static int LinesOf(int[] sizes, int tokens)
    {
        int sum = 0;
        for (int line = 0; line < sizes.Length; line++)
        {
            if (sum >= tokens)
            {
                return line;
            }

            sum += sizes[line];
        }

        return sum >= tokens ? sizes.Length : 0;
    }

    private static NeedlePrompt Prompt(EdgeModel model, ReadOnlySpan<string> lines, int before, string sentence, string question)
    {
        int[] start = model.TokenizeDocument(before == 0 ? string.Empty : string.Join('\n', lines[..before]!) + "\n");
        int[] needle = model.Tokenize(sentence);
        int[] rest = model.Tokenize("\n" + string.Join('\n', lines[before..]!) + "\n\n");
        return new NeedlePrompt(
            [.. start, .. needle, .. rest, .. model.TokenizeQuestion(question)], start.Length, start.Length + needle.Length);
    }
}
