using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Profiles;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// RazorAttention's table (arXiv 2407.15891): what heads pay, within random tokens that come four times, to the same token in earlier copies (echo) and to the one
/// after it (induction), mean over queries and copies, the largest of the group. Real attention, where msModelSlim leaves RoPE out; and copies of 500
/// tokens rather than 2500, since each query is a step of its own.
/// </summary>
internal sealed class RazorAttentionTable : TableCalibration
{
    private const int Copies = 4;
    private const int LongestCopy = 500;
    private const int PartsOfCopy = 2;

    private readonly int _copy;

    public RazorAttentionTable(EdgeModel model, CalibrationOptions options, int longestCopy = LongestCopy)
        : base(model, options) => _copy = Math.Min(longestCopy, model.Window / Copies) / PartsOfCopy * PartsOfCopy;

    public override string Table => RazorAttention.PolicyName;

    public override string Settings => Text($"{_copy} {Copies} {PartsOfCopy} {Options.Seed} {Options.Threads}");

    public override int Units => (Copies - 1) * PartsOfCopy;

    // Echo and induction of every attention head.
    public override int Length => 2 * HeadCount;

    private int HeadCount => Geometry.Heads.Total;

    public override CalibrationStage Stage(int unit) => CalibrationStage.EchoHeads;

    public override async Task AddAsync(int unit, double[] sums, CancellationToken cancellation)
    {
        int[] once = Tokens();
        int[] all = [.. Enumerable.Repeat(once, Copies).SelectMany(copy => copy)];
        int part = _copy / PartsOfCopy;
        int start = _copy + unit * part;
        EdgeSession session = Empty(all.Length);
        await session.PrefillAsync(all.AsMemory(0, start), progress: null, cancellation).ConfigureAwait(false);
        double[] seen = new double[Length];
        for (int position = start; position < start + part; position++)
        {
            int here = position;
            session.DecodeSeen(all.AsSpan(position, 1), position + 1, weights => AddEchoes(weights, here, seen), cancellation);
        }

        for (int i = 0; i < seen.Length; i++)
        {
            sums[i] += seen[i];
        }
    }

    public override ProfileTable Finish(double[] sums)
    {
        // Queries of the second copy see one earlier copy, those of the third two, ...
        double pairs = _copy * (Copies * (Copies - 1) / 2.0);
        float[] echo = Largest(0);
        float[] induction = Largest(HeadCount);
        HeadsByLayer heads = RazorAttention.RetrievalHeads(echo, induction, Geometry.KvHeads);
        return ProfileTable.OfHeads(
            Table,
            Geometry.KvHeads,
            [(RazorAttention.Echo, echo), (RazorAttention.Induction, induction)],
            others: [],
            new Dictionary<string, string>
            {
                ["method"] = "RazorAttention, arXiv 2407.15891: mean attention to the same token in earlier copies (echo) and to the one after it (induction), largest of the group",
                ["tokens"] = Text($"{_copy} random tokens {Copies} times, seed {Options.Seed}"),
                ["heads"] = string.Join("; ", Enumerable.Range(0, Geometry.Layers.Count).Where(layer => heads[layer].Length > 0)
                    .Select(layer => Text($"layer {layer}: {string.Join(' ', heads[layer].ToArray())}"))),
                ["scores"] = Text($"echo up to {echo.Max():0.000}, induction up to {induction.Max():0.000}"),
                ["threads"] = Text($"{Options.Threads}"),
            });

        float[] Largest(int from)
        {
            return
            [
                .. Enumerable.Range(0, Geometry.Layers.Count).SelectMany(layer => sums
                    .Skip(from + Geometry.Heads.First(layer)).Take(Geometry.Heads[layer])
                    .Chunk(Geometry.GroupSize(layer)).Select(heads => (float)(heads.Max() / pairs))),
            ];
        }
    }

    private void AddEchoes(ReadOnlySpan<float> weights, int position, double[] seen)
    {
        int columns = position + 1;
        for (int head = 0; head < HeadCount; head++)
        {
            for (int earlier = position - _copy; earlier >= 0; earlier -= _copy)
            {
                seen[head] += weights[head * columns + earlier];
                seen[HeadCount + head] += weights[head * columns + earlier + 1];
            }
        }
    }

    // Tokens that are text: control tokens would be something else to the model.
    private int[] Tokens()
    {
        Random random = new(Options.Seed);
        int[] tokens = new int[_copy];
        for (int i = 0; i < tokens.Length;)
        {
            int token = random.Next(Model.VocabularySize);
            if (!Model.IsEnd(token) && Model.Detokenize([token]).Length > 0)
            {
                tokens[i++] = token;
            }
        }

        return tokens;
    }
}
