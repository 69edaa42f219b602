using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// The table of <see cref="ProbedScorer"/>: for every KV head the least-squares fit of what a repeat pass gives a row by its learned score and by the
/// logarithm of what a probe gives it, both of one text after the other, none of which is kept.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="profile">The learned map that is corrected.</param>
/// <param name="options">Threads.</param>
/// <param name="texts">What to learn from: texts that the map was not learned from, where there are such.</param>
/// <param name="source">Where these come from, in words.</param>
internal sealed class ProbeTable(EdgeModel model, ScoreProfile profile, CalibrationOptions options, IReadOnlyList<int[]> texts, string source)
    : TableCalibration(model, options)
{
    /// <summary>Tokens that a text has at least.</summary>
    public const int LeastTokens = CalibrationRun.SmallestText;

    // Of every KV head: tokens, and the sums of y, p, t, yy, yp, pp, yt, pt and tt.
    private const int Sums = 10;

    private static readonly Statistic Teacher = new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max);

    public override string Table => ProbedScorer.TableName;

    public override string Settings => Text(
        $"{source} {Options.Threads} {ProbeTaskSet.Text} {Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(profile.Weights.Span)))} {string.Join(',', texts.SelectMany(text => text))}");

    public override int Units => texts.Count;

    public override int Length => Geometry.KvHeads.Total * Sums;

    public override CalibrationStage Stage(int unit) => CalibrationStage.Probes;

    public override async Task AddAsync(int unit, double[] sums, CancellationToken cancellation)
    {
        int tokens = texts[unit].Length;
        int longest = texts.Max(text => text.Length);
        int passes = Math.Max(longest + Model.RepeatInstruction().Length, Model.ProbeQuestion().Length);
        EdgeSession session = Empty(Math.Min(Model.Window, longest + passes), profile);
        await session.PrefillAsync(texts[unit], progress: null, cancellation).ConfigureAwait(false);
        using AttentionScores scores = await session.ScoreAsync(
            new ScoreRequest(Teacher, ProbedScorer.Probe, new Learned()), progress: null, cancellation).ConfigureAwait(false);
        Parallel.For(0, Geometry.KvHeads.Total, list =>
        {
            (int layer, int head) = Geometry.KvHeads.At(list);
            double[] y = new double[tokens];
            double[] p = new double[tokens];
            double[] t = new double[tokens];
            float[] seen = new float[tokens];
            TensorPrimitives.ConvertSaturating(scores.Learned(layer, head), y);
            CopyLogarithms(ProbedScorer.Probe, p);
            CopyLogarithms(Teacher, t);
            Span<double> to = sums.AsSpan(list * Sums, Sums);
            ReadOnlySpan<double> added =
            [
                tokens, TensorPrimitives.Sum<double>(y), TensorPrimitives.Sum<double>(p), TensorPrimitives.Sum<double>(t),
                Dot(y, y), Dot(y, p), Dot(p, p), Dot(y, t), Dot(p, t), Dot(t, t),
            ];
            TensorPrimitives.Add(to, added, to);

            void CopyLogarithms(Statistic statistic, double[] into)
            {
                scores.CopyGroupMean(statistic, layer, head, seen);
                AttentionLogarithm.Of(seen);
                TensorPrimitives.ConvertSaturating<float, double>(seen, into);
            }
        });
    }

    public override ProfileTable Finish(double[] sums)
    {
        int lists = Geometry.KvHeads.Total;
        float[] coefficients = new float[lists * ProbeCorrection.Terms];
        double without = 0;
        double with = 0;
        for (int list = 0; list < lists; list++)
        {
            (double before, double after) = Fit(sums.AsSpan(list * Sums, Sums), coefficients.AsSpan(list * ProbeCorrection.Terms, ProbeCorrection.Terms));
            without += before / lists;
            with += after / lists;
        }

        return ProfileTable.OfHeads(
            Table,
            Geometry.KvHeads,
            [(ProbeCorrection.Coefficients, coefficients)],
            others: [],
            new Dictionary<string, string>
            {
                ["method"] = "least squares per KV head from its learned score and ln(p + 1e-7), p being the largest attention that the question gives, mean over the group, to ln(s + 1e-7) of the repeat pass",
                [ProbeCorrection.Question] = ProbeTaskSet.Text,
                ["texts"] = source,
                ["r2"] = Text($"{without:0.000} of the learned scores alone, {with:0.000} with the probe, on the same {sums[0]:0} tokens (mean over KV heads)"),
                ["threads"] = Text($"{Options.Threads}"),
            },
            after: [ProbeCorrection.Terms]);
    }

    /// <summary>The least-squares fit of one KV head.</summary>
    /// <param name="sums">Tokens, and the sums of y, p, t, yy, yp, pp, yt, pt and tt: learned score, probe and teacher.</param>
    /// <param name="coefficients">Takes what y and p are multiplied by and what is added; 1, 0 and 0 where y and p do not tell rows apart.</param>
    /// <returns>R2 of y alone, and of the fit.</returns>
    internal static (double Without, double With) Fit(ReadOnlySpan<double> sums, Span<float> coefficients)
    {
        // Below it rounding decides.
        const double LeastShare = 1e-9;
        double tokens = sums[0];
        double yMean = sums[1] / tokens;
        double pMean = sums[2] / tokens;
        double tMean = sums[3] / tokens;
        double yy = sums[4] / tokens - yMean * yMean;
        double yp = sums[5] / tokens - yMean * pMean;
        double pp = sums[6] / tokens - pMean * pMean;
        double yt = sums[7] / tokens - yMean * tMean;
        double pt = sums[8] / tokens - pMean * tMean;
        double tt = sums[9] / tokens - tMean * tMean;
        double determinant = yy * pp - yp * yp;
        double weight = 1;
        double share = 0;
        double offset = 0;
        if (determinant > LeastShare * yy * pp)
        {
            weight = (yt * pp - pt * yp) / determinant;
            share = (pt * yy - yt * yp) / determinant;
            offset = tMean - weight * yMean - share * pMean;
        }

        coefficients[0] = (float)weight;
        coefficients[1] = (float)share;
        coefficients[2] = (float)offset;
        return (R2(1, 0, 0), R2(weight, share, offset));

        // Of t less the prediction: its variance and its mean.
        double R2(double a, double b, double c)
        {
            double variance = tt + a * a * yy + b * b * pp + 2 * (a * b * yp - a * yt - b * pt);
            double mean = tMean - a * yMean - b * pMean - c;
            return tt > 0 ? 1 - (variance + mean * mean) / tt : 0;
        }
    }

    private static double Dot(double[] a, double[] b) => TensorPrimitives.Dot<double>(a, b);
}
