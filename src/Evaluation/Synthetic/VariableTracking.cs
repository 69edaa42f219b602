using System.Globalization;
using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>RULER's vt: variables are assigned to one another in a chain, between lines of noise, after a small solved example; all that have a value are asked for.</summary>
internal static class VariableTracking
{
    /// <summary>Lines of noise, at least one per assignment.</summary>
    public const int Least = Chain;

    private const int Chain = 5;
    private const int ExampleLines = 10;
    private const string Task = "Memorize and track the chain(s) of variable assignment hidden in the following text.";
    private const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n";

    /// <summary>See <see cref="SyntheticTask.Begin"/>.</summary>
    public static Func<int, SyntheticText> Begin(string name)
    {
        SampleRandom random = new(name);
        string example = Example(random);
        string[] variables = Variables(random, 5);
        string value = Value(random);
        return size => new SyntheticText(
            $"{example}{Task}\n\n{Lines(new SampleRandom(name + "/places"), size, variables, value)}\n",
            $"Question: Find all variables that are assigned the value {value} in the text above. ",
            Answer(value),
            variables);
    }

    private static string Example(SampleRandom random)
    {
        string[] variables = Variables(random, 3);
        string value = Value(random);
        string lines = Lines(random, ExampleLines, variables, value);
        return $" {Task} {lines} Question: Find all variables that are assigned the value {value} in the text {Answer(value)} {string.Join(' ', variables)}\n\n\n\n";
    }

    // "assgined" is RULER's.
    private static string Answer(string value) =>
        $"Answer: According to the chain(s) of variable assignment in the text above, {Chain} variables are assgined the value {value}, they are: ";

    private static string Lines(SampleRandom random, int noise, string[] variables, string value)
    {
        int[] places = [.. random.Sample(noise, Chain).Order()];
        StringBuilder lines = new();
        int next = 0;
        for (int i = 0; i < noise; i++)
        {
            for (; next < Chain && places[next] == i; next++)
            {
                lines.Append(next == 0 ? $"VAR {variables[0]} = {value} " : $"VAR {variables[next]} = VAR {variables[next - 1]}  ");
            }

            lines.Append(Noise).Append(i < noise - 1 ? " " : string.Empty);
        }

        return lines.ToString();
    }

    private static string[] Variables(SampleRandom random, int letters) => SampleRandom.Different(Chain, () => random.Letters(letters, 'A'));

    private static string Value(SampleRandom random) => (10_000 + random.Next(90_000)).ToString(CultureInfo.InvariantCulture);
}
