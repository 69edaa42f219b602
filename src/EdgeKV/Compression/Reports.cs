using EdgeKV.Engine;
using EdgeKV.Native;
using EdgeKV.Planning;

namespace EdgeKV.Compression;

/// <summary>Reports of what was done to a cache.</summary>
internal static class Reports
{
    /// <summary>What an applied plan made of the cache.</summary>
    public static CompressionReport Of(
        NativeContext context, CompressionPlan plan, Planned planned, int[] rowsBefore, long bytesBefore, TimeSpan applying)
    {
        (int[] rows, int[] room) = CacheStateReader.KeptRows(context);
        return new CompressionReport
        {
            Policy = planned.Policy,
            Scores = planned.Scores,
            KvHeads = plan.KvHeads,
            ContextTokens = plan.ContextTokens,
            RatioAsked = planned.RatioAsked,
            RatioAchieved = plan.Ratio,
            IsComposite = plan.IsComposite,
            RowBytes = CacheStateReader.RowBytes(context),
            RowsBefore = rowsBefore,
            RowsAfter = rows,
            RoomAfter = room,
            BytesBefore = bytesBefore,
            BytesAfter = context.Get(NativeCacheKey.Bytes),
            Prefill = planned.Prefill,
            Scoring = planned.Scoring,
            Planning = planned.Planning,
            Applying = applying,
        };
    }
}
