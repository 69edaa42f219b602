using System.Diagnostics;
using System.Runtime.InteropServices;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Reading;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>Learned and repeat scores: what they cost, and what of the full cache's right answers they keep.</summary>
public static class Learned
{
    /// <summary>What rows dropped while reading are called among policies.</summary>
    public const string WhileReading = "reading";

    private const int ReadingChunk = 512;

    private static readonly double[] Ratios = [0.8, 0.9];
    private static readonly double[] AccuracyRatios = [0.8, 0.9, 0.95];

    /// <summary>Why the trial's map cannot be had, or null when it can.</summary>
    public static string? Missing => MapPath is null ? "shared/reference/surrogate.f32 is not here" : null;

    private static string? MapPath =>
        Places.Shared is { } shared && Path.Combine(shared, "reference", "surrogate.f32") is var path && File.Exists(path) ? path : null;

    /// <summary>The trial's map as a profile of the bundled model.</summary>
    public static ScoreProfile TrialsMap(EdgeModel model) => ScoreProfile.Of(
        model,
        MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(MapPath ?? throw new FileNotFoundException(Missing))),
        new Dictionary<string, string> { ["from"] = "the trial of shared/reference" });

    /// <summary>Times the prefill with and without learned scores, and decoding from what is left, in turns with stock llama.cpp.</summary>
    public static async Task<LearnedSpeed> SpeedAsync(int context = 4000, int rounds = 3, int decoded = 16, int repeats = 15)
    {
        int[] tokens = ExactnessCase.DocumentTokens(Places.Model, context + decoded);
        EngineOptions options = new(Places.Model) { ContextSize = (context + 767) / 256 * 256 };
        using StockRunner stock = new();
        stock.Open(options);
        using EdgeModel model = EdgeModel.Load(Places.Model);
        Dictionary<double, EdgeSession> sessions = [];
        try
        {
            List<double> prefill = [];
            List<double> ready = [];
            for (int i = 0; i < rounds; i++)
            {
                stock.Clear();
                double there = stock.Prefill(tokens.AsSpan(0, context));
                foreach (double ratio in Ratios)
                {
                    EdgeSession session = model.CreateSession(
                        new SessionOptions { ContextSize = options.ContextSize, Threads = options.Threads });
                    long start = Stopwatch.GetTimestamp();
                    await session.PrefillAsync(tokens.AsMemory(0, context)).ConfigureAwait(false);
                    prefill.Add(Stopwatch.GetElapsedTime(start).TotalSeconds / there);
                    await session.CompressAsync(Budget.FromRatio(ratio)).ConfigureAwait(false);
                    ready.Add(Stopwatch.GetElapsedTime(start).TotalSeconds / there);
                    sessions.Remove(ratio, out EdgeSession? before);
                    before?.Dispose();
                    sessions[ratio] = session;
                }
            }

            List<double> full = [];
            Dictionary<double, List<double>> compact = Ratios.ToDictionary(r => r, _ => new List<double>());
            for (int i = -1; i < repeats; i++)
            {
                double there = stock.Time(tokens.AsSpan(context));
                stock.Rollback(context);
                foreach (double ratio in Ratios)
                {
                    long start = Stopwatch.GetTimestamp();
                    for (int j = 0; j < decoded; j++)
                    {
                        sessions[ratio].Decode(tokens.AsSpan(context + j, 1));
                    }

                    double here = Stopwatch.GetElapsedTime(start).TotalSeconds;
                    sessions[ratio].Rollback(context);
                    if (i >= 0)
                    {
                        compact[ratio].Add(here);
                    }
                }

                if (i >= 0)
                {
                    full.Add(there);
                }
            }

            return new LearnedSpeed(Median(prefill), Median(ready), Ratios.ToDictionary(r => r, r => Median(full.Zip(compact[r], (a, b) => a / b))));
        }
        finally
        {
            foreach (EdgeSession session in sessions.Values)
            {
                session.Dispose();
            }
        }
    }

    /// <summary>
    /// Accuracy relative to the full cache on the reference's samples of a length: those that it used and that the full cache answers.
    /// Cells are score@ratio, and for rows dropped in chunks while reading <see cref="WhileReading"/>@ratio.
    /// </summary>
    /// <param name="length">1024 or 2048.</param>
    /// <param name="whileReading">Whether rows are dropped while reading too.</param>
    /// <param name="report">Gets a line for every sample that the full cache answers.</param>
    public static async Task<LearnedAccuracy> AccuracyAsync(int length, bool whileReading, Action<string> report)
    {
        using EdgeModel model = EdgeModel.Load(Places.Model);
        var probed = (GlobalRanking)((ICalibratedPolicy)new GlobalRanking(new ProbedScorer())).WithTables(
            model.Profile ?? throw new FileNotFoundException("The bundled model has no profile."));
        string state = Path.Combine(Places.Cache, $"learned-{Environment.ProcessId}.state");
        Dictionary<string, List<double>> cells = [];
        int asked = 0;
        int right = 0;
        try
        {
            foreach (RulerSample sample in RulerSample.Ablation(Places.Shared!, length))
            {
                int[] context = model.TokenizeDocument(sample.Context);
                SessionOptions options = new() { ContextSize = 2 * context.Length + 256, Threads = Math.Min(2, SessionOptions.MostThreads) };
                using EdgeSession session = model.CreateSession(options);
                await session.PrefillAsync(context).ConfigureAwait(false);
                await session.SaveAsync(state).ConfigureAwait(false);
                asked++;
                if (sample.Score(Answer(model, session, sample)) < 1)
                {
                    continue;
                }

                right++;
                using AttentionScores repeat = await session.ScoreAsync(
                    new ScoreRequest(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max), new Scoring.Learned())).ConfigureAwait(false);
                using AttentionScores probe = await session.ScoreAsync(probed.Request).ConfigureAwait(false);
                var asking = TaskSet.Question(sample.Question);
                using AttentionScores question = await session.ScoreAsync(
                    new ScoreRequest(new TaskAttention(asking, AttentionAggregate.Max), new Scoring.Learned())).ConfigureAwait(false);
                await AskAsync("learned", new GlobalRanking(new LearnedScorer()), repeat).ConfigureAwait(false);
                await AskAsync("probed", probed, probe).ConfigureAwait(false);
                await AskAsync("repeat", new GlobalRanking(new TaskScorer()), repeat).ConfigureAwait(false);
                await AskAsync("both", new GlobalRanking(new SumScorer(new TaskScorer(), new LearnedScorer())), repeat).ConfigureAwait(false);
                await AskAsync("learned and question", new GlobalRanking(new SumScorer(new TaskScorer { TaskSet = asking }, new LearnedScorer())), question).ConfigureAwait(false);
                foreach (double ratio in whileReading ? Ratios : [])
                {
                    using EdgeSession reading = model.CreateSession(options);
                    await reading.CompressWhileReadingAsync(
                        context, new GlobalRanking(new LearnedScorer()) { Ratio = ratio }, new ReadingOptions { ChunkTokens = ReadingChunk }).ConfigureAwait(false);
                    Add($"{WhileReading}@{ratio}", sample.Score(Answer(model, reading, sample)));
                }

                report($"{sample.Task} {sample.Index}: " + string.Join(", ", cells.Select(c => $"{c.Key} {c.Value.Average():0.00}")));

                async Task AskAsync(string name, GlobalRanking policy, AttentionScores scores)
                {
                    using EdgeSession compact = model.CreateSession(options with { LearnedScores = false });
                    await compact.LoadAsync(state).ConfigureAwait(false);
                    foreach (double ratio in AccuracyRatios)
                    {
                        // The larger ratio's plan is part of the smaller one's.
                        CompressionPlan plan = (policy with { Ratio = ratio }).Plan(scores);
                        await compact.ApplyAsync(plan).ConfigureAwait(false);
                        Add($"{name}@{ratio}", sample.Score(Answer(model, compact, sample)));
                    }
                }
            }
        }
        finally
        {
            File.Delete(state);
        }

        return new LearnedAccuracy(asked, right, cells.ToDictionary(c => c.Key, c => c.Value.Average()));

        void Add(string key, double score)
        {
            if (!cells.TryGetValue(key, out List<double>? values))
            {
                cells[key] = values = [];
            }

            values.Add(score);
        }
    }

    // Greedy; the reference's rule: at the end of the turn, or at the first newline after 8 tokens.
    internal static string Answer(EdgeModel model, EdgeSession session, RulerSample sample)
    {
        const int Least = 8;
        int start = session.Position;
        session.Decode(model.TokenizeQuestion(sample.Question, sample.AnswerPrefix));
        IReadOnlyList<int> answer = Greedy.Continue(
            session.Kv!,
            sample.NewTokens,
            tokens => tokens.Count > Least && model.Detokenize([tokens[^1]]).Contains('\n', StringComparison.Ordinal));
        session.Rollback(start);
        return model.Detokenize([.. answer]);
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}

/// <summary>What learned scores cost, by stock llama.cpp's times in the same run.</summary>
/// <param name="PrefillOverStock">Prefill with learned scores.</param>
/// <param name="ReadyOverStock">The same, planned and applied.</param>
/// <param name="DecodeSpeedup">Decode speed over stock's with the full cache, by ratio.</param>
public sealed record LearnedSpeed(double PrefillOverStock, double ReadyOverStock, IReadOnlyDictionary<double, double> DecodeSpeedup);

/// <summary>Accuracy on samples that the full cache answers.</summary>
/// <param name="Asked">Samples.</param>
/// <param name="Right">Those that our full cache answers.</param>
/// <param name="Relative">Mean over those, by score@ratio or <see cref="Learned.WhileReading"/>@ratio.</param>
public sealed record LearnedAccuracy(int Asked, int Right, IReadOnlyDictionary<string, double> Relative);
