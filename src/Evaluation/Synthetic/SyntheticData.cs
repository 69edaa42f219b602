using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>
/// Makes RULER's tasks that need no data set of questions (arXiv 2404.06654), with its templates and metrics and with words and an essay of our own: the same on every
/// machine for the same options and tokenizer.
/// </summary>
public static class SyntheticData
{
    /// <summary>
    /// Makes samples. Their data set is "synthetic/LENGTH". A sample depends on seed, task, length and its number alone, so that fewer
    /// samples, tasks or lengths are a part of more.
    /// </summary>
    /// <param name="options">What to make.</param>
    /// <param name="countTokens">Tokens of a text, without any that begin or end it. It is called 3 to 20 times a sample.</param>
    /// <returns>Samples by length, task and number, each as long as its length allows with its answer's tokens.</returns>
    /// <exception cref="DatasetException">An option is out of range, the haystack cannot be read, or a length is too short for a task.</exception>
    public static IReadOnlyList<EvalSample> Generate(SyntheticOptions options, Func<string, int> countTokens)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(countTokens);
        Check(options);
        SyntheticTask[] tasks = [.. options.Tasks.Select(Find)];
        Haystack essay = options.HaystackPath is { } path ? Haystack.Of(path) : Haystack.Shipped();
        List<EvalSample> samples = [];
        foreach (int length in options.Lengths)
        {
            foreach (SyntheticTask task in tasks)
            {
                int guess = task.Least;
                for (int i = 0; i < options.Samples; i++)
                {
                    (EvalSample sample, guess) = Sample(task, length, i, options, essay, guess, countTokens);
                    samples.Add(sample);
                }
            }
        }

        return samples;
    }

    /// <summary>The text of a haystack, as <see cref="Generate"/> reads it.</summary>
    /// <param name="path">The file of <see cref="SyntheticOptions.HaystackPath"/>.</param>
    /// <exception cref="DatasetException">It cannot be read, is no regular file, or shows no text.</exception>
    public static string ReadHaystack(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Haystack.TextOf(path);
    }

    private static (EvalSample Sample, int Size) Sample(
        SyntheticTask task, int length, int number, SyntheticOptions options, Haystack essay, int guess, Func<string, int> countTokens)
    {
        RulerTask family = RulerTask.Find(task.Name)!;
        string id = number.ToString(CultureInfo.InvariantCulture);
        Func<int, SyntheticText> make = task.Begin(string.Create(CultureInfo.InvariantCulture, $"{options.Seed}/{task.Name}/{length}/{number}"), length, essay);

        // What a sample is filled with has at least a token each.
        int size = LargestFit.Near(guess, task.Least, Math.Max(task.Least, length), candidate => Tokens(make(candidate)) <= length)
            ?? throw new DatasetException(
                $"A {task.Name} sample of {length} tokens is too short: the smallest has {Tokens(make(task.Least))} with its answer; " +
                "take a greater length or leave the task out.");
        SyntheticText text = make(size);
        EvalSample sample = new()
        {
            Dataset = string.Create(CultureInfo.InvariantCulture, $"synthetic/{length}"),
            Task = task.Name,
            Id = id,
            Context = text.Context,
            Question = text.Question,
            AnswerPrefix = text.AnswerPrefix,
            Answers = text.Answers,
            Metric = family.Metric,
            NewTokens = family.NewTokens,
            Depth = text.Depth,
            Length = length,
            Source = string.Create(CultureInfo.InvariantCulture, $"synthetic {task.Name} {length}, sample {number} of seed {options.Seed}"),
        };
        return (sample, size);

        int Tokens(SyntheticText made) => countTokens(made.Context + made.Question + made.AnswerPrefix) + family.NewTokens + options.ReservedTokens;
    }

    private static SyntheticTask Find(string name) => SyntheticTask.All.FirstOrDefault(task => task.Name == name)
        ?? throw new DatasetException($"There is no synthetic task \"{name}\"; there are {string.Join(", ", SyntheticOptions.AllTasks)}.");

    private static void Check(SyntheticOptions options)
    {
        if (options.Tasks.Count == 0 || options.Lengths.Count == 0)
        {
            throw new DatasetException("Synthetic data needs at least one task and one length.");
        }

        if (options.Tasks.Distinct().Count() < options.Tasks.Count || options.Lengths.Distinct().Count() < options.Lengths.Count)
        {
            throw new DatasetException("A synthetic task or length is named twice; name each once.");
        }

        if (options.ReservedTokens < 0)
        {
            throw new DatasetException($"A synthetic sample cannot leave {options.ReservedTokens} tokens free; take 0 or more.");
        }

        if (options.Samples < 1)
        {
            throw new DatasetException($"Synthetic data cannot have {options.Samples} samples per task; make at least 1.");
        }
    }
}
