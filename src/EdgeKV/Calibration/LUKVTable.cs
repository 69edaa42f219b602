using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// LU-KV's table (arXiv 2602.08585): at 99 ratios the share of its rows that every KV head loses, so that what the model repeats of a text loses least.
/// A row's utility is the most that a token of the repetition takes from it, max a[i, j] ||W_O v[j]||_2, mean over the group; each head's rows go in the
/// order of a scorer, the lowest first, and over all heads together the row that costs least goes next.
/// </summary>
/// <remarks>
/// The authors ask 30 questions about one text of 4000 tokens and let the model answer; ours is the repeat pass, over several texts. Theirs and ours: a head's
/// losses are made convex first, so that taking the cheapest row next is best; the shares are averaged over the texts. One scoring of a text serves all scorers.
/// </remarks>
internal sealed class LUKVTable(EdgeModel model, CalibrationOptions options, IReadOnlyList<int[]> texts, string source)
    : TableCalibration(model, options)
{
    /// <summary>Tokens that a text has at least: SnapKV's window is shorter.</summary>
    public const int LeastTokens = 100;

    // Those of the authors; the utility itself stands for all others.
    private static readonly IRowScorer[] Scorers = [LUKV.DefaultScorer, new SnapKV(), new KeyDiff(), new Utility()];

    private static readonly LUKV Policy = new();

    public override string Table => LUKV.PolicyName;

    public override string Settings => Text($"{source} {Options.Threads} {string.Join(',', texts.SelectMany(text => text))}");

    public override int Units => texts.Count;

    // By scorer: a curve.
    public override int Length => Scorers.Length * CurveLength;

    private int CurveLength => LUKVCurves.Ratios * Geometry.KvHeads.Total;

    public override CalibrationStage Stage(int unit) => CalibrationStage.BudgetCurves;

    public override async Task AddAsync(int unit, double[] sums, CancellationToken cancellation)
    {
        int longest = texts.Max(text => text.Length);
        EdgeSession session = Empty(Math.Min(Model.Window, 2 * longest + Model.RepeatInstruction().Length));
        await session.PrefillAsync(texts[unit], progress: null, cancellation).ConfigureAwait(false);
        using AttentionScores scores = await session.ScoreAsync(
            ScoreRequest.Union(Scorers.Select(scorer => scorer.Request)), progress: null, cancellation).ConfigureAwait(false);
        float[][] utilities = Utilities(scores);
        double[] curves = new double[Length];
        for (int i = 0; i < Scorers.Length; i++)
        {
            AddCurve(Ordered(Scorers[i], scores, utilities), Policy.Sinks + Policy.Recent, curves.AsSpan(i * CurveLength, CurveLength));
        }

        TensorPrimitives.Add(sums, curves, sums);
    }

    public override ProfileTable Finish(double[] sums)
    {
        float[] shares = [.. sums.Select(sum => (float)(sum / texts.Count))];
        Dictionary<string, string> provenance = new()
        {
            ["method"] = "LU-KV, arXiv 2602.08585: heads' budgets by greedy choice over convex losses, a row's utility being the most that a token of the repeated text takes from it, max a ||W_O v||, mean over the group; mean of the texts' shares",
            ["texts"] = source,
            ["threads"] = Text($"{Options.Threads}"),
        };
        foreach ((int i, IRowScorer scorer) in Scorers.Index())
        {
            float[] at80 = [.. shares.Skip(i * CurveLength + 79 * Geometry.KvHeads.Total).Take(Geometry.KvHeads.Total).Order()];
            provenance[scorer.Name] = Text($"at ratio 0.8 KV heads keep {1 - at80[^1]:0.000} to {1 - at80[0]:0.000} of their rows, median {1 - at80[at80.Length / 2]:0.000}");
        }

        return ProfileTable.OfHeads(
            Table,
            Geometry.KvHeads,
            Scorers.Select((scorer, i) => (scorer.Name, (ReadOnlyMemory<float>)shares.AsMemory(i * CurveLength, CurveLength))),
            others: [],
            provenance,
            before: [LUKVCurves.Ratios]);
    }

    /// <summary>Adds what share of its rows every KV head loses at each ratio, [99, lists].</summary>
    /// <param name="utilities">For every KV head what its rows are worth, from the first to stay to the first to go; equally many each.</param>
    /// <param name="protectedRows">Rows of every head that go after all others, and then as many of each head.</param>
    /// <param name="curve">Takes the shares.</param>
    internal static void AddCurve(float[][] utilities, int protectedRows, Span<double> curve)
    {
        int lists = utilities.Length;
        int tokens = utilities[0].Length;
        (double Loss, int List)[] order =
        [
            .. utilities
                .SelectMany((rows, list) => Losses(rows.AsSpan(Math.Min(protectedRows, tokens))).Select(loss => (loss, list)))
                .OrderBy(row => row.loss)
                .ThenByDescending(row => row.list),
        ];
        int[] gone = new int[lists];
        int next = 0;
        for (int percent = 1; percent <= LUKVCurves.Ratios; percent++)
        {
            int target = (int)Math.Round(percent * (double)lists * tokens / (LUKVCurves.Ratios + 1), MidpointRounding.ToEven);
            for (; next < Math.Min(target, order.Length); next++)
            {
                gone[order[next].List]++;
            }

            for (int list = 0; list < lists; list++)
            {
                double share = target > order.Length ? (double)target / lists : gone[list];
                curve[(percent - 1) * lists + list] += share / tokens;
            }
        }
    }

    /// <summary>
    /// What losing each row costs once a head's losses are made convex: their sum over the rows that went becomes the largest convex function below it,
    /// so that rows share what they are worth where a later one is worth more than an earlier one. Never rises from the first to the last.
    /// </summary>
    /// <param name="utilities">From the first to stay to the first to go.</param>
    internal static double[] Losses(ReadOnlySpan<float> utilities)
    {
        List<(double Sum, int Rows)> blocks = [];
        foreach (float utility in utilities)
        {
            (double sum, int rows) = (utility, 1);
            while (blocks.Count > 0 && blocks[^1].Sum * rows < sum * blocks[^1].Rows)
            {
                (sum, rows) = (sum + blocks[^1].Sum, rows + blocks[^1].Rows);
                blocks.RemoveAt(blocks.Count - 1);
            }

            blocks.Add((sum, rows));
        }

        return [.. blocks.SelectMany(block => Enumerable.Repeat(block.Sum / block.Rows, block.Rows))];
    }

    private static float[][] Utilities(AttentionScores scores)
    {
        float[][] all = new float[scores.KvHeads.Total][];
        float[] rows = new float[scores.KvHeads.Most * scores.Tokens];
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            Scorers[^1].Score(scores, layer, rows.AsSpan(0, scores.KvHeads[layer] * scores.Tokens));
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                all[scores.KvHeads.First(layer) + head] = rows.AsSpan(head * scores.Tokens, scores.Tokens).ToArray();
            }
        }

        return all;
    }

    // Of every KV head, from the row that the policy drops last to the one that it drops first.
    private static float[][] Ordered(IRowScorer scorer, AttentionScores scores, float[][] utilities)
    {
        using var ranked = RankedRows.Of(scorer, scores, _ => Policy.Protect(scorer, scores.Tokens, rows: 0));
        float[][] ordered = new float[utilities.Length][];
        for (int list = 0; list < ordered.Length; list++)
        {
            uint[] keys = ranked.Keys(list).ToArray();
            float[] own = utilities[list];
            ordered[list] = [.. Enumerable.Range(0, keys.Length).OrderBy(token => keys[token]).Select(token => own[token])];
        }

        return ordered;
    }

    private sealed class Utility : IRowScorer
    {
        private static readonly Statistic Attention = new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max);
        private static readonly Statistic Norms = new OutputNorms(NormKind.L2);

        public string Name => LUKVCurves.AnyScorer;

        public ScoreRequest Request => new(Attention, Norms);

        public bool SharesPositions => false;

        public void Score(AttentionScores scores, int layer, Span<float> destination)
        {
            destination.Clear();
            for (int head = 0; head < scores.Heads[layer]; head++)
            {
                Span<float> row = destination.Slice(head / scores.GroupSize(layer) * scores.Tokens, scores.Tokens);
                TensorPrimitives.MultiplyAdd(scores.Values(Attention, layer, head), scores.Values(Norms, layer, head), row, row);
            }

            TensorPrimitives.Divide(destination, scores.GroupSize(layer), destination);
        }

        public ProtectedRows Protect(int tokens, int rows) => default;
    }
}
