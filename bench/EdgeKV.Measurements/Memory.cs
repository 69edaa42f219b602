using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>Memory of the cache before and after a plan.</summary>
/// <param name="Expected">Bytes by arithmetic: (rows + room) x bytes of a row, over layers and KV heads.</param>
/// <param name="Reported">Bytes of the buffers that the backend reports.</param>
/// <param name="Before">Bytes of the full cache that the backend reports.</param>
/// <param name="ResidentDrop">How far resident memory of the process fell, bytes.</param>
public sealed record Memory(long Expected, long Reported, long Before, long ResidentDrop)
{
    /// <summary>The share of what the cache gave back that resident memory fell by.</summary>
    public double DropShare => (double)ResidentDrop / (Before - Reported);

    /// <summary>Fills a full cache and rewrites it.</summary>
    public static Memory Of(EngineOptions options, ReadOnlySpan<int> context, Func<EdgeModel, CompressionPlan> choose)
    {
        using EdgeModel model = options.Load();
        using EdgeSession session = model.CreateSession(options.Session);
        KvContext kv = session.Kv!;
        kv.Prefill(context);
        CompressionPlan plan = choose(model);

        // What a score pass leaves in the scheduler goes with the first compaction; it must not count for the second.
        long bytes = kv.State.Bytes;

        // What the C library keeps of freed memory goes with the compaction, too: tens of MiB that other tests of this process left.
        long before = Resident.BytesInUse();
        kv.Apply(plan);
        long after = Resident.BytesWithoutGarbage();
        (int[] rows, int[] room) = kv.KeptRows();
        long expected = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            AttentionLayer layer = model.Geometry.Layers[model.Geometry.KvHeads.At(i).Layer];
            expected += ((long)rows[i] + room[i]) * options.Type.RowBytes(layer.HeadSizeK, layer.HeadSizeV);
        }

        return new Memory(expected, kv.State.Bytes, bytes, before - after);
    }
}
