using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Policies.Allocators;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// DuoAttention's table: gates that stand in for trained ones (arXiv 2410.10819), as kvpress finds them. An attention head's mean query and mean key before RoPE
/// are put at 500 positions and rotated; the gate is the mean of the running sum of the last query's attention, mean over the group: near 1 where the first
/// positions have it all, near 0 where the last have.
/// </summary>
internal sealed class DuoAttentionTable(EdgeModel model, CalibrationOptions options, IReadOnlyList<int[]> texts, string source)
    : TableCalibration(model, options)
{
    private const int Positions = 500;

    public override string Table => DuoAttention.PolicyName;

    public override string Settings => Text($"{source} {Options.Threads} {string.Join(',', texts.SelectMany(text => text))}");

    public override int Units => texts.Count;

    // By layer: sums of queries, then of keys.
    public override int Length => Geometry.Layers.Sum(LengthOf);

    public override CalibrationStage Stage(int unit) => CalibrationStage.Gates;

    public override async Task AddAsync(int unit, double[] sums, CancellationToken cancellation)
    {
        EdgeSession session = Session();
        session.KeepQueries();
        await session.PrefillAsync(texts[unit], progress: null, cancellation).ConfigureAwait(false);
        int start = 0;
        foreach ((int index, AttentionLayer layer) in Geometry.Layers.Index())
        {
            double[] read = new double[LengthOf(layer)];
            int queries = layer.Heads * layer.HeadSizeK;
            session.ReadQueries(NativeQuerySum.Queries, index, read.AsSpan(0, queries));
            session.ReadQueries(NativeQuerySum.Keys, index, read.AsSpan(queries));
            Span<double> to = sums.AsSpan(start, read.Length);
            TensorPrimitives.Add(to, read, to);
            start += read.Length;
        }
    }

    public override ProfileTable Finish(double[] sums)
    {
        EdgeSession session = Session();
        _ = session.Decode([0]);
        RotaryEncoding rotary = session.RotaryOfKeys();
        double tokens = texts.Sum(text => text.Length);
        List<float> gates = [];
        int start = 0;
        foreach (AttentionLayer layer in Geometry.Layers)
        {
            int size = layer.HeadSizeK;
            int group = layer.Heads / layer.KvHeads;
            for (int kvHead = 0; kvHead < layer.KvHeads; kvHead++)
            {
                float[] key = Mean(start + (layer.Heads + kvHead) * size, size);
                double sum = 0;
                for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
                {
                    sum += Gate(Mean(start + head * size, size), key, rotary, Positions);
                }

                gates.Add((float)(sum / group));
            }

            start += LengthOf(layer);
        }

        float[] ordered = [.. gates.Order()];
        return ProfileTable.OfHeads(
            Table,
            Geometry.KvHeads,
            [(DuoAttentionGates.Gates, gates.ToArray())],
            others: [],
            new Dictionary<string, string>
            {
                ["method"] = Text($"stand-in for DuoAttention's trained gates (arXiv 2410.10819), as in NVIDIA/kvpress: mean query and key of each head before RoPE at {Positions} positions, mean running sum of the last one's attention, mean over the group"),
                ["texts"] = source,
                ["gates"] = Text($"{ordered[0]:0.000} to {ordered[^1]:0.000}, median {ordered[ordered.Length / 2]:0.000}"),
                ["threads"] = Text($"{Options.Threads}"),
            });

        float[] Mean(int from, int size) => [.. sums.Skip(from).Take(size).Select(value => (float)(value / tokens))];
    }

    /// <summary>Mean over positions of the running sum of the last position's attention, all positions having the same query and key before RoPE.</summary>
    internal static double Gate(ReadOnlySpan<float> query, ReadOnlySpan<float> key, RotaryEncoding rotary, int positions)
    {
        float[] turned = query.ToArray();
        rotary.Mean(positions - 1, 1).Apply(turned);
        double[] weights = new double[positions];
        float[] at = new float[key.Length];
        for (int position = 0; position < positions; position++)
        {
            key.CopyTo(at);
            rotary.Mean(position, 1).Apply(at);
            weights[position] = TensorPrimitives.Dot<float>(turned, at) / Math.Sqrt(key.Length);
        }

        TensorPrimitives.SoftMax<double>(weights, weights);
        double running = 0;
        double sum = 0;
        foreach (double weight in weights)
        {
            running += weight;
            sum += running;
        }

        return sum / positions;
    }

    private static int LengthOf(AttentionLayer layer) => (layer.Heads + layer.KvHeads) * layer.HeadSizeK;

    private EdgeSession Session() => Empty(texts.Max(text => text.Length));
}
