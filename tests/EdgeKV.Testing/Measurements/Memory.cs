using EdgeKV.Planning;

namespace EdgeKV.Testing.Measurements;

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
    public static Memory Of(EngineOptions options, ReadOnlySpan<int> context, Func<Engine, CompressionPlan> choose)
    {
        using Engine engine = Engine.Open(options);
        engine.Prefill(context);
        CompressionPlan plan = choose(engine);

        // What a score pass leaves in the scheduler goes with the first compaction; it must not count for the second.
        long bytes = engine.CacheBytes;

        // What the C library keeps of freed memory goes with the compaction, too: tens of MiB that other tests of this process left.
        long before = Resident.BytesInUse();
        engine.Apply(plan);
        long after = Resident.BytesWithoutGarbage();
        (int[] rows, int[] room) = engine.Rows();
        long expected = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            expected += ((long)rows[i] + room[i]) * options.Type.RowBytes(engine.HeadSizeK, engine.HeadSizeV);
        }

        return new Memory(expected, engine.CacheBytes, bytes, before - after);
    }
}
