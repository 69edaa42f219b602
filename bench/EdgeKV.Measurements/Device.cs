using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>The device path, on whatever GPU device ggml has: a software one does.</summary>
public static class Device
{
    /// <summary>Why tests that need a device are skipped.</summary>
    public static string Missing =>
        "No GPU device: build with --backend vulkan, install mesa-vulkan-drivers, and set GGML_VK_VISIBLE_DEVICES=0 for a software device.";

    /// <summary>Measures one model, all or some of its layers on the device.</summary>
    public static DeviceResult Measure(ExactnessCase subject, KvCacheType type, int gpuLayers = -1, int seed = 11)
    {
        EngineOptions cpu = subject.Options(type);
        EngineOptions gpu = cpu with { GpuLayers = gpuLayers };
        HeadLayout kvHeads = Exactness.KvHeads(cpu);
        CompressionPlan all = CompressionPlan.KeepAll(kvHeads, subject.Context);
        CompressionPlan composite = Plans.Composite(kvHeads, subject.Context, seed);
        CompressionPlan ragged = Plans.Ragged(kvHeads, subject.Context, seed + 1);

        Run here = Run.Of(cpu, subject, all, composite, ragged, Plans.Shifted(composite), Plans.Shifted(ragged));
        Run there = Run.Of(gpu, subject, all, composite, ragged, Plans.Shifted(composite), Plans.Shifted(ragged));
        string rows = Path.Combine(Places.Cache, $"device-{Environment.ProcessId}.state");
        (float[] Max, float[] Sum) scores;
        (float[] Max, float[] Sum) scoresThere;
        try
        {
            scores = Scores(cpu, subject, context =>
            {
                context.Prefill(subject.ContextTokens);
                context.Save(rows);
            });
            scoresThere = Scores(gpu, subject, context => context.Load(rows));
        }
        finally
        {
            File.Delete(rows);
        }

        return new DeviceResult(subject.Name, type, gpuLayers)
        {
            Floor = Divergence.Of(Stock(cpu, subject), Stock(gpu, subject)),
            Identity = Divergence.Of(here.Logits[0], there.Logits[0]),
            Composite = Divergence.Of(here.Logits[1], there.Logits[1]),
            Ragged = Divergence.Of(here.Logits[2], there.Logits[2]),
            ScoresDiff = Difference(scores, scoresThere, subject.Prompt),
            ScoresDiffRead = Difference(scores, Scores(gpu, subject, context => context.Prefill(subject.ContextTokens)), subject.Prompt),
            ScoresFloor = Difference(StockScores(cpu, subject), StockScores(gpu, subject), subject.Prompt),
            Sensitivity = Math.Min(
                Divergence.Of(here.Logits[1], there.Logits[3]).Max, Divergence.Of(here.Logits[2], there.Logits[4]).Max),
        };
    }

    private static Logits Stock(EngineOptions options, ExactnessCase subject)
    {
        using StockRunner stock = new(gpu: options.GpuLayers != 0);
        stock.Open(options).Prefill(subject.ContextTokens);
        return stock.Decode(subject.After(subject.Decoded)).Then(Prompt(stock, subject));

        static Logits Prompt(StockRunner stock, ExactnessCase subject)
        {
            stock.Rollback(subject.Context);
            return stock.Decode(subject.After(subject.Prompt), stepwise: false);
        }
    }

    private static (float[] Max, float[] Sum) Scores(EngineOptions options, ExactnessCase subject, Action<KvContext> fill)
    {
        using EdgeModel model = options.Load();
        using EdgeSession session = model.CreateSession(options.Session);
        KvContext context = session.Kv!;
        fill(context);
        (float[] max, float[] sum, _) = context.DecodeScored(subject.After(subject.Prompt), subject.Context);
        return (max, sum);
    }

    private static (float[] Max, float[] Sum) StockScores(EngineOptions options, ExactnessCase subject)
    {
        using StockRunner stock = new(gpu: options.GpuLayers != 0);
        stock.Open(options with { Flash = false, Hook = true }).Prefill(subject.ContextTokens);
        return stock.Score(subject.After(subject.Prompt), subject.Context);
    }

    // Of maxima, and of means over the queries.
    private static double Difference((float[] Max, float[] Sum) one, (float[] Max, float[] Sum) other, int queries) =>
        Math.Max(Difference(one.Max, other.Max, 1), Difference(one.Sum, other.Sum, queries));

    private static double Difference(float[] one, float[] other, int divisor)
    {
        double largest = 0;
        for (int i = 0; i < one.Length; i++)
        {
            double difference = Math.Abs((double)one[i] - other[i]) / divisor;
            largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
        }

        return largest;
    }

    private sealed record Run(IReadOnlyList<Logits> Logits)
    {
        public static Run Of(EngineOptions options, ExactnessCase subject, params ReadOnlySpan<CompressionPlan> plans)
        {
            using EdgeModel model = options.Load();
            List<Logits> logits = [];
            foreach (CompressionPlan plan in plans)
            {
                using EdgeSession session = model.CreateSession(options.Session);
                KvContext context = session.Kv!;
                context.Prefill(subject.ContextTokens);
                context.Apply(plan);
                Logits decoded = context.DecodeAll(subject.After(subject.Decoded));
                context.Rollback(subject.Context);
                logits.Add(decoded.Then(context.DecodeAll(subject.After(subject.Prompt), stepwise: false)));
            }

            return new Run(logits);
        }
    }
}
