using System.Numerics.Tensors;
using EdgeKV.Calibration;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>What else scores could be learned from or learn to predict: one pass of the teacher, many maps.</summary>
public static class Variants
{
    private const float Epsilon = 1e-7f;

    private static readonly double[] Ratios = [0.8, 0.9];

    private static readonly Statistic RepeatMaxima = new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max);

    // What a map can learn to predict of one KV head, before the logarithm.
    private static readonly Target[] Targets =
    [
        new("mean over the group, floor 1e-7", Mean, Epsilon),
        new("floor 1e-4", Mean, 1e-4f),
        new("floor 1e-3", Mean, 1e-3f),
        new("floor 1e-2", Mean, 1e-2f),
        new("max over the group", Max, Epsilon),
        new("mean times the value's norm (KVzip+)", MeanTimesValueNorm, Epsilon),
    ];

    private enum Kind
    {
        Documents,
        Sources,
        Mixed,
    }

    /// <summary>Learns all variants from some tokens and asks each of them the samples of 1024 tokens.</summary>
    public static async Task<IReadOnlyList<VariantResult>> MeasureAsync(int tokens, Action<string> report)
    {
        using EdgeModel model = EdgeModel.Load(Places.Model);
        CalibrationTexts texts = CalibrationTexts.From(CalibrationTexts.Installed ?? throw new FileNotFoundException("llama.cpp's texts are not here."));
        Learner learner = new(model);
        long learned = 0;
        List<(string Name, float[] Weights)> maps = [];
        await foreach (int count in learner.LearnAsync(texts).ConfigureAwait(false))
        {
            long before = learned;
            learned += count;
            foreach (int mark in new[] { tokens / 10, tokens / 3 })
            {
                if (before < mark && learned >= mark)
                {
                    maps.Add(($"{learned:N0} tokens", learner.Solve(0, _ => 1)));
                }
            }

            report($"{learned:N0} tokens");
            if (learned >= tokens)
            {
                break;
            }
        }

        maps.AddRange(Targets.Select((t, i) => ($"{learned:N0} tokens, {t.Name}", learner.Solve(i, _ => 1))));
        maps.Add(("without sources", learner.Solve(0, k => k == Kind.Sources ? 0 : 1)));
        maps.Add(("without mixed-in sentences", learner.Solve(0, k => k == Kind.Mixed ? 0 : 1)));
        maps.Add(("texts with mixed-in sentences four times", learner.Solve(0, k => k == Kind.Mixed ? 4 : 1)));
        maps.Add(("rows near the cut weigh more", learner.SolveWeighted()));
        return await AskAsync(model, maps, report).ConfigureAwait(false);
    }

    private static async Task<IReadOnlyList<VariantResult>> AskAsync(EdgeModel model, List<(string Name, float[] Weights)> maps, Action<string> report)
    {
        string state = Path.Combine(Places.Cache, $"variants-{Environment.ProcessId}.state");
        double[][] sums = [.. maps.Select(_ => new double[Ratios.Length])];
        int right = 0;
        try
        {
            foreach (RulerSample sample in RulerSample.Ablation(Places.Shared!, 1024))
            {
                int[] context = model.TokenizeDocument(sample.Context);
                SessionOptions options = new() { ContextSize = context.Length + 256, BatchSize = context.Length, Threads = Math.Min(2, SessionOptions.MostThreads), LearnedScores = false };
                float[][] inputs = [.. Enumerable.Range(0, model.Layers).Select(_ => new float[context.Length * model.EmbeddingSize])];
                using (EdgeSession session = model.CreateSession(options))
                {
                    session.KeepInputs(context.Length);
                    await session.PrefillAsync(context).ConfigureAwait(false);
                    for (int layer = 0; layer < inputs.Length; layer++)
                    {
                        session.ReadInputs(layer, inputs[layer]);
                    }

                    await session.SaveAsync(state).ConfigureAwait(false);
                    if (sample.Score(Learned.Answer(model, session, sample)) < 1)
                    {
                        continue;
                    }
                }

                right++;
                for (int i = 0; i < maps.Count; i++)
                {
                    using AttentionScores scores = Predict(model, inputs, context.Length, maps[i].Weights);
                    using EdgeSession compact = model.CreateSession(options);
                    await compact.LoadAsync(state).ConfigureAwait(false);
                    for (int r = 0; r < Ratios.Length; r++)
                    {
                        // The larger ratio's plan is part of the smaller one's.
                        await compact.ApplyAsync(new GlobalRanking(new LearnedScorer()) { Budget = Budget.FromRatio(Ratios[r]) }.Plan(scores)).ConfigureAwait(false);
                        sums[i][r] += sample.Score(Learned.Answer(model, compact, sample));
                    }
                }

                report($"{sample.Task} {sample.Index} ({right}): " + string.Join(", ", sums.Select(s => $"{s[0] / right:0.00}/{s[1] / right:0.00}")));
            }
        }
        finally
        {
            File.Delete(state);
        }

        return [.. maps.Select((m, i) => new VariantResult(m.Name, right, Ratios.Select((r, j) => (r, sums[i][j] / right)).ToDictionary()))];
    }

    private static AttentionScores Predict(EdgeModel model, float[][] inputs, int tokens, float[] weights)
    {
        int size = model.EmbeddingSize;
        float[] scores = new float[model.Geometry.KvHeads.Total * tokens];
        Parallel.For(0, model.Layers, layer =>
        {
            float[] row = new float[size];
            for (int head = 0; head < model.Geometry.KvHeads[0]; head++)
            {
                int first = layer * (size + 1) * model.Geometry.KvHeads[0] + head;
                for (int i = 0; i < size; i++)
                {
                    row[i] = weights[first + i * model.Geometry.KvHeads[0]];
                }

                float bias = weights[first + size * model.Geometry.KvHeads[0]];
                for (int t = 0; t < tokens; t++)
                {
                    scores[(layer * model.Geometry.KvHeads[0] + head) * tokens + t] = bias + TensorPrimitives.Dot(row, inputs[layer].AsSpan(t * size, size));
                }
            }
        });
        return new AttentionScores(model.Geometry, tokens, [new(new Scoring.Learned(), new StatisticValues(ScoreBuffer.FromMemory(scores)))]);
    }

    private static void Mean(AttentionScores scores, int layer, int head, Span<float> row) => scores.CopyGroupMean(RepeatMaxima, layer, head, row);

    private static void Max(AttentionScores scores, int layer, int head, Span<float> row)
    {
        row.Clear();
        for (int member = 0; member < scores.GroupSize(layer); member++)
        {
            TensorPrimitives.Max(row, scores.Values(RepeatMaxima, layer, head * scores.GroupSize(layer) + member), row);
        }
    }

    private static void MeanTimesValueNorm(AttentionScores scores, int layer, int head, Span<float> row)
    {
        scores.CopyGroupMean(RepeatMaxima, layer, head, row);
        TensorPrimitives.Multiply(row, scores.ValueNorms(layer, head), row);
    }

    private delegate void Attention(AttentionScores scores, int layer, int head, Span<float> row);

    private sealed record Target(string Name, Attention Of, float Floor);

    private sealed class Learner(EdgeModel model)
    {
        private const int TextTokens = 950;

        private readonly Dictionary<Kind, NormalEquations[]> _equations = Enum.GetValues<Kind>().ToDictionary(
            k => k, _ => Equations(model, Targets.Length));

        private readonly NormalEquations[] _weighted = Equations(model, 1);

        public async IAsyncEnumerable<int> LearnAsync(CalibrationTexts texts)
        {
            int most = TextTokens + model.TokenizeDocument(string.Empty).Length;
            using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 2 * most + 128, BatchSize = most, Threads = Math.Min(2, SessionOptions.MostThreads), LearnedScores = false });
            session.KeepInputs(most);
            float[][] inputs = [.. Enumerable.Range(0, model.Layers).Select(_ => new float[most * model.EmbeddingSize])];
            foreach ((int index, CalibrationText text) in texts.Take(heldOut: false, TextTokens, seed: 1).Index())
            {
                int[] tokens = model.TokenizeDocument(text.Text);
                tokens = tokens.Length > most ? tokens[..most] : tokens;
                session.Clear();
                await session.PrefillAsync(tokens).ConfigureAwait(false);
                int size = tokens.Length * model.EmbeddingSize;
                for (int layer = 0; layer < inputs.Length; layer++)
                {
                    session.ReadInputs(layer, inputs[layer].AsSpan(0, size));
                }

                using AttentionScores scores = await session.ScoreAsync(
                    new ScoreRequest(RepeatMaxima, new ValueNorms())).ConfigureAwait(false);
                Kind kind = text.IsMixed ? Kind.Mixed : index % 2 == 0 ? Kind.Documents : Kind.Sources;
                Parallel.For(0, inputs.Length, layer => Add(scores, layer, inputs[layer].AsSpan(0, size), _equations[kind][layer], _weighted[layer]));
                yield return tokens.Length;
            }
        }

        public float[] Solve(int target, Func<Kind, double> weight)
        {
            int size = (model.EmbeddingSize + 1) * model.Geometry.KvHeads[0];
            float[] weights = new float[model.Layers * size];
            Parallel.For(0, model.Layers, layer =>
            {
                NormalEquations sum = new(model.EmbeddingSize, Targets.Length * model.Geometry.KvHeads[0]);
                foreach ((Kind kind, NormalEquations[] equations) in _equations)
                {
                    sum.Add(equations[layer], weight(kind));
                }

                float[] all = new float[size * Targets.Length];
                sum.Solve(new CalibrationOptions().Ridge, all);
                for (int i = 0; i <= model.EmbeddingSize; i++)
                {
                    all.AsSpan((i * Targets.Length + target) * model.Geometry.KvHeads[0], model.Geometry.KvHeads[0]).CopyTo(weights.AsSpan(layer * size + i * model.Geometry.KvHeads[0]));
                }
            });
            return weights;
        }

        public float[] SolveWeighted()
        {
            int size = (model.EmbeddingSize + 1) * model.Geometry.KvHeads[0];
            float[] weights = new float[model.Layers * size];
            Parallel.For(0, model.Layers, layer => _weighted[layer].Solve(new CalibrationOptions().Ridge, weights.AsSpan(layer * size, size)));
            return weights;
        }

        private static NormalEquations[] Equations(EdgeModel model, int targets) =>
            [.. Enumerable.Range(0, model.Layers).Select(_ => new NormalEquations(model.EmbeddingSize, targets * model.Geometry.KvHeads[0]))];

        private static void Add(AttentionScores scores, int layer, ReadOnlySpan<float> inputs, NormalEquations equations, NormalEquations weighted)
        {
            int tokens = scores.Tokens;
            int rows = scores.KvHeads[layer] * tokens;
            float[] targets = new float[Targets.Length * rows];
            for (int target = 0; target < Targets.Length; target++)
            {
                for (int head = 0; head < scores.KvHeads[layer]; head++)
                {
                    Span<float> row = targets.AsSpan(target * rows + head * tokens, tokens);
                    Targets[target].Of(scores, layer, head, row);
                    TensorPrimitives.Add(row, Targets[target].Floor, row);
                    TensorPrimitives.Log(row, row);
                }
            }

            equations.Add(inputs, targets);
            weighted.Add(inputs, targets.AsSpan(0, rows), Weights(targets.AsSpan(0, rows), tokens));
        }

        // A bell around the cut at 0.9, on a floor so that the rest is not forgotten.
        private static float[] Weights(ReadOnlySpan<float> targets, int tokens)
        {
            const float Cut = -3.5f;
            const float Width = 2;
            const float Floor = 0.1f;
            float[] weights = new float[tokens];
            for (int i = 0; i < targets.Length; i++)
            {
                float distance = (targets[i] - Cut) / Width;
                weights[i % tokens] += Floor + MathF.Exp(-distance * distance / 2);
            }

            return weights;
        }
    }
}

/// <summary>One map.</summary>
/// <param name="Name">What is different about it.</param>
/// <param name="Right">Samples that the full cache answers.</param>
/// <param name="Relative">Accuracy on those, by ratio.</param>
public sealed record VariantResult(string Name, int Right, IReadOnlyDictionary<double, double> Relative);
