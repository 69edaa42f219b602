using System.Diagnostics;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>
/// Speed of our engine against stock llama.cpp with the full cache: ratios within one run, repeats of all variants in turns, medians.
/// </summary>
public sealed record Speed
{
    private const int QuestionTokens = 64;
    private const int FollowUpTokens = 300;

    // Where the sessions' times begin.
    private const int First = 3;

    /// <summary>The ratios at which decoding is timed.</summary>
    public static IReadOnlyList<double> Ratios { get; } = [0.0, 0.5, 0.8, 0.9];

    /// <summary>Tokens of the context.</summary>
    public required int Context { get; init; }

    /// <summary>Stock's decode speed over the full cache, tokens per second.</summary>
    public required double StockTokensPerSecond { get; init; }

    /// <summary>Stock's decode speed over an empty cache.</summary>
    public required double StockEmptyTokensPerSecond { get; init; }

    /// <summary>Decode speed of LLamaSharp on the libllama of its own package over the full cache: what a user would run instead.</summary>
    public required double LLamaSharpTokensPerSecond { get; init; }

    /// <summary>Our decode speed over a compact cache relative to LLamaSharp's own over the full one, for each ratio.</summary>
    public required IReadOnlyDictionary<double, double> DecodeSpeedupOverLLamaSharp { get; init; }

    /// <summary>Seconds of our prefill by those of LLamaSharp's own.</summary>
    public required double PrefillOverLLamaSharp { get; init; }

    /// <summary>Our decode speed over a compact cache relative to stock's over the full one, for each ratio.</summary>
    public required IReadOnlyDictionary<double, double> DecodeSpeedup { get; init; }

    /// <summary>
    /// What the bytes alone would give, for each ratio: stock's time per token over the full cache by the time it would take if the part
    /// that the cache costs (full less empty) shrank in proportion to the rows.
    /// </summary>
    public required IReadOnlyDictionary<double, double> DecodeIdeal { get; init; }

    /// <summary>Decode speed over a ragged plan relative to a composite one of the same rows in all.</summary>
    public required double RaggedOverComposite { get; init; }

    /// <summary>Decode speed with our attention kernel relative to llama.cpp's over the same composite rows at 0.8.</summary>
    public required double KernelOverLlama { get; init; }

    /// <summary>The same over a ragged plan of the same rows in all.</summary>
    public required double KernelOverLlamaRagged { get; init; }

    /// <summary>Seconds of a 300-token prompt over the compact cache at 0.8, by stock's over the full one.</summary>
    public required double FollowUpOverFull { get; init; }

    /// <summary>Seconds of our prefill.</summary>
    public required double PrefillSeconds { get; init; }

    /// <summary>Seconds of stock's prefill.</summary>
    public required double StockPrefillSeconds { get; init; }

    /// <summary>Seconds of planning (KVCompose, the slower of structured and not) by those of the prefill.</summary>
    public required double PlanOverPrefill { get; init; }

    /// <summary>Seconds of rewriting the cache by those of the prefill.</summary>
    public required double ApplyOverPrefill { get; init; }

    /// <summary>Seconds of scoring by the context itself by those of the prefill.</summary>
    public required double ScoreContextOverPrefill { get; init; }

    /// <summary>Seconds of scoring by a 64-token question by those of the prefill.</summary>
    public required double ScoreQuestionOverPrefill { get; init; }

    /// <summary>Measures a model.</summary>
    /// <param name="model">The GGUF file.</param>
    /// <param name="context">Tokens of the context; twice as many must fit the model's window.</param>
    /// <param name="decoded">Tokens decoded each time.</param>
    /// <param name="repeats">Repeats of everything but prefill and score passes.</param>
    public static Speed Of(string model, int context = 4000, int decoded = 16, int repeats = 15)
    {
        int[] tokens = ExactnessCase.DocumentTokens(model, context + FollowUpTokens);
        ReadOnlySpan<int> document = tokens.AsSpan(0, context);
        ReadOnlySpan<int> prompt = tokens.AsSpan(context, FollowUpTokens);
        EngineOptions options = new(model) { ContextSize = (context + FollowUpTokens + 511) / 256 * 256 };

        using StockRunner stock = new();
        stock.Open(options);
        using StockRunner empty = new();
        empty.Open(options);
        double stockPrefill = stock.Prefill(document);
        using StockRunner llamaSharp = StockRunner.OfLLamaSharp();
        llamaSharp.Open(options);
        double llamaSharpPrefill = llamaSharp.Prefill(document);

        using EdgeModel loaded = options.Load();
        using EdgeSession fullSession = loaded.CreateSession((options with { ContextSize = 2 * context }).Session);
        KvContext full = fullSession.Kv!;
        double prefill = full.Prefill(document);
        string state = Path.Combine(Places.Cache, $"speed-{Environment.ProcessId}.state");
        try
        {
            full.Save(state);
            double question = full.DecodeScored(prompt[..QuestionTokens], context).Seconds;
            full.Rollback(context);
            (float[] max, _, double scoring) = full.DecodeScored(document, context);
            full.Rollback(context);

            double planning = 0;
            CompressionPlan Plan(double ratio, bool structured)
            {
                KVCompose policy = new() { Ratio = ratio, Structured = structured };
                StatisticValues seen = new(ScoreBuffer.FromMemory(max), context);
                using AttentionScores scores = new(
                    loaded.Geometry, context, [new(new TaskAttention(TaskSet.Context, AttentionAggregate.Max), seen)]);
                policy.Plan(scores);
                long start = Stopwatch.GetTimestamp();
                CompressionPlan plan = policy.Plan(scores);
                planning = Math.Max(planning, Stopwatch.GetElapsedTime(start).TotalSeconds);
                return plan;
            }

            List<double> applying = [];
            EdgeSession Compact(CompressionPlan plan, AttentionKernel kernel = AttentionKernel.EdgeKV)
            {
                EdgeSession session = loaded.CreateSession((options with { Attention = kernel }).Session);
                session.Kv!.Load(state);
                applying.Add(session.Kv!.Apply(plan));
                return session;
            }

            CompressionPlan composite = Plan(0.8, structured: true);
            CompressionPlan ragged = Plan(0.8, structured: false);
            EdgeSession[] sessions =
            [
                .. Ratios.Select(r => Compact(Plan(r, structured: true))), Compact(ragged),
                Compact(composite, AttentionKernel.LlamaCpp), Compact(ragged, AttentionKernel.LlamaCpp),
            ];
            try
            {
                double[][] times = Interleaved(repeats, stock, empty, llamaSharp, sessions, tokens.AsSpan(context, decoded), context);
                double atFull = Median(times[0]);
                double atEmpty = Median(times[1]);

                // Of each round by itself: a machine that slows down for some rounds slows both sides.
                double Over(int one, int other) => Median([.. times[one].Zip(times[other], (a, b) => a / b)]);
                (double promptFull, double promptCompact) = FollowUp(repeats, stock, sessions[IndexOf(0.8)].Kv!, tokens, context);
                return new Speed
                {
                    Context = context,
                    StockTokensPerSecond = 1 / atFull,
                    StockEmptyTokensPerSecond = 1 / atEmpty,
                    LLamaSharpTokensPerSecond = 1 / Median(times[2]),
                    DecodeSpeedupOverLLamaSharp = Ratios.ToDictionary(r => r, r => Over(2, First + IndexOf(r))),
                    PrefillOverLLamaSharp = prefill / llamaSharpPrefill,
                    DecodeSpeedup = Ratios.ToDictionary(r => r, r => Over(0, First + IndexOf(r))),
                    DecodeIdeal = Ratios.ToDictionary(r => r, r => 1 / (r * Over(1, 0) + (1 - r))),
                    RaggedOverComposite = Over(First + IndexOf(0.8), times.Length - 3),
                    KernelOverLlama = Over(times.Length - 2, First + IndexOf(0.8)),
                    KernelOverLlamaRagged = Over(times.Length - 1, times.Length - 3),
                    FollowUpOverFull = promptCompact / promptFull,
                    PrefillSeconds = prefill,
                    StockPrefillSeconds = stockPrefill,
                    PlanOverPrefill = planning / prefill,
                    ApplyOverPrefill = applying.Max() / prefill,
                    ScoreContextOverPrefill = scoring / prefill,
                    ScoreQuestionOverPrefill = question / prefill,
                };
            }
            finally
            {
                foreach (EdgeSession session in sessions)
                {
                    session.Dispose();
                }
            }
        }
        finally
        {
            File.Delete(state);
        }
    }

    // Seconds per token: of stock over the full cache and over an empty one first, then of LLamaSharp's own, then of each session. Few tokens each and many rounds, so
    // that what else the machine does falls on all of them.
    private static double[][] Interleaved(
        int repeats, StockRunner stock, StockRunner empty, StockRunner llamaSharp, EdgeSession[] sessions, ReadOnlySpan<int> tokens, int context)
    {
        double[][] times = [.. Enumerable.Range(0, sessions.Length + First).Select(_ => new double[repeats])];
        for (int i = -1; i < repeats; i++)
        {
            double[] round = new double[times.Length];
            round[0] = stock.Time(tokens) / tokens.Length;
            stock.Rollback(context);
            round[1] = empty.Time(tokens) / tokens.Length;
            empty.Clear();
            round[2] = llamaSharp.Time(tokens) / tokens.Length;
            llamaSharp.Rollback(context);
            for (int j = 0; j < sessions.Length; j++)
            {
                round[j + First] = sessions[j].Kv!.Time(tokens) / tokens.Length;
                sessions[j].Rollback(context);
            }

            // The first round warms up.
            for (int j = 0; i >= 0 && j < times.Length; j++)
            {
                times[j][i] = round[j];
            }
        }

        return times;
    }

    private static (double Full, double Compact) FollowUp(int repeats, StockRunner stock, KvContext compact, int[] tokens, int context)
    {
        List<double> full = [];
        List<double> ours = [];
        for (int i = -1; i < repeats; i++)
        {
            double there = stock.Prefill(tokens.AsSpan(context, FollowUpTokens));
            stock.Rollback(context);
            double here = compact.Prefill(tokens.AsSpan(context, FollowUpTokens));
            compact.Rollback(context);
            if (i >= 0)
            {
                full.Add(there);
                ours.Add(here);
            }
        }

        return (Median([.. full]), Median([.. ours]));
    }

    private static int IndexOf(double ratio) => Ratios.ToList().IndexOf(ratio);

    private static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
