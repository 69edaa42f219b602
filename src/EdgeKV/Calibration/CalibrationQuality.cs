using System.Runtime.InteropServices;
using EdgeKV.Models;

namespace EdgeKV.Calibration;

/// <summary>What held-out texts say about a map: R2 per layer and KV head, overlap of plans with the teacher's, and what thresholds cost.</summary>
internal sealed class CalibrationQuality(HeadLayout kvHeads)
{
    /// <summary>Ratios at which plans are compared.</summary>
    public static readonly double[] Ratios = [0.5, 0.8, 0.9];

    /// <summary>Thresholds that are tried, ascending: natural logarithms of attention.</summary>
    public static readonly double[] Thresholds = [.. Enumerable.Range(0, 15).Select(i => -11 + 0.75 * i)];

    private readonly double[] _squaredErrors = new double[kvHeads.Total];
    private readonly double[] _sums = new double[kvHeads.Total];
    private readonly double[] _squares = new double[kvHeads.Total];
    private readonly double[] _overlaps = new double[Ratios.Length];

    // By threshold and probe, and by threshold.
    private readonly double[] _divergences = new double[Thresholds.Length * CalibrationProbe.Count];
    private readonly double[] _ratios = new double[Thresholds.Length];

    // Tokens, texts, and texts by probe: not every text goes on after its end.
    private readonly double[] _counts = new double[2 + CalibrationProbe.Count];

    private double[][] Arrays => [_squaredErrors, _sums, _squares, _overlaps, _divergences, _ratios, _counts];

    private double Tokens => _counts[0];

    private double Texts => _counts[1];

    /// <summary>Adds a KV head's tokens of one text.</summary>
    public void AddScores(int layer, int kvHead, ReadOnlySpan<float> predicted, ReadOnlySpan<float> actual)
    {
        int at = kvHeads.First(layer) + kvHead;
        for (int i = 0; i < actual.Length; i++)
        {
            double error = (double)predicted[i] - actual[i];
            _squaredErrors[at] += error * error;
            _sums[at] += actual[i];
            _squares[at] += (double)actual[i] * actual[i];
        }
    }

    public void AddText(int tokens, ReadOnlySpan<double> overlaps)
    {
        _counts[0] += tokens;
        _counts[1]++;
        for (int i = 0; i < overlaps.Length; i++)
        {
            _overlaps[i] += overlaps[i];
        }
    }

    public void AddProbe(int probe) => _counts[2 + probe]++;

    public void AddRatio(int threshold, double ratio) => _ratios[threshold] += ratio;

    public void AddDivergence(int threshold, int probe, double divergence) => _divergences[threshold * CalibrationProbe.Count + probe] += divergence;

    /// <summary>1 - squared errors / variance.</summary>
    public double R2(int layer, int kvHead)
    {
        int at = kvHeads.First(layer) + kvHead;
        return 1 - _squaredErrors[at] / (_squares[at] - _sums[at] * _sums[at] / Tokens);
    }

    /// <summary>Mean over KV heads.</summary>
    public double R2(int layer) => Enumerable.Range(0, kvHeads[layer]).Average(head => R2(layer, head));

    /// <summary>Mean over layers.</summary>
    public double R2() => Enumerable.Range(0, kvHeads.Layers).Average(R2);

    /// <summary>Intersection over union of learned and repeat plans, mean over texts.</summary>
    public double Overlap(int ratio) => _overlaps[ratio] / Texts;

    /// <summary>Compression ratio that a threshold gives, mean over texts.</summary>
    public double Ratio(int threshold) => _ratios[threshold] / Texts;

    /// <summary>KL of the next token, full cache against compact, in nats: the worst probe's mean over texts.</summary>
    public double Divergence(int threshold) => Enumerable.Range(0, CalibrationProbe.Count).Max(
        probe => _counts[2 + probe] > 0 ? _divergences[threshold * CalibrationProbe.Count + probe] / _counts[2 + probe] : 0);

    /// <summary>
    /// The largest threshold up to which the divergence keeps a bound, and its ratio, between those tried by linear interpolation; null when
    /// the least one tried does not keep it.
    /// </summary>
    public (double Threshold, double Ratio)? Within(double bound)
    {
        int first = 0;
        while (first < Thresholds.Length && Divergence(first) <= bound)
        {
            first++;
        }

        if (first == 0)
        {
            return null;
        }

        int last = first - 1;
        if (first == Thresholds.Length)
        {
            return (Thresholds[last], Ratio(last));
        }

        double share = (bound - Divergence(last)) / (Divergence(first) - Divergence(last));
        return (double.Lerp(Thresholds[last], Thresholds[first], share), double.Lerp(Ratio(last), Ratio(first), share));
    }

    public void Write(Stream stream)
    {
        foreach (double[] array in Arrays)
        {
            stream.Write(MemoryMarshal.AsBytes(array.AsSpan()));
        }
    }

    public void Read(Stream stream)
    {
        foreach (double[] array in Arrays)
        {
            stream.ReadExactly(MemoryMarshal.AsBytes(array.AsSpan()));
        }
    }
}
