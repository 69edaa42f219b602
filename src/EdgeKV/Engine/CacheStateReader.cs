using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Engine;

/// <summary>Asks the native library for a context's <see cref="CacheState"/>.</summary>
internal static class CacheStateReader
{
    /// <summary>The state now. The caller holds the context's lock.</summary>
    public static CacheState Read(NativeContext context, int limit)
    {
        bool compact = context.IsCompact;
        int sequences = (int)context.Get(NativeCacheKey.Sequences);
        int position = sequences > 1 ? 0 : context.Position;
        int contextTokens = (int)context.Get(NativeCacheKey.ContextTokens);
        int heads = context.Model.Geometry.KvHeads.Total;
        int[] tokens = context.Tokens(0, position);
        long kept = context.Get(NativeCacheKey.Rows);
        return new CacheState
        {
            Layout = compact ? CacheLayout.Compact : CacheLayout.Full,
            Geometry = context.Model.Geometry,
            Position = position,
            Tokens = tokens,
            ContextTokens = contextTokens,
            Rows = kept + (long)heads * (position - contextTokens),
            Room = (int)context.Get(NativeCacheKey.Room),
            Bytes = context.Get(NativeCacheKey.Bytes),
            RowBytes = RowBytes(context),
            ContextSize = (int)context.Get(NativeCacheKey.ContextSize),
            Limit = limit,
            Sequences = sequences,
            HasLearnedScores = position > 0 && context.KnowsLearned(position),
            Turn = context.Chat.TurnOf(TokensAsFed.Of(context.BeforeRerotation, tokens)),
        };
    }

    /// <summary>Bytes of one row of one KV head, K and V together, by layer.</summary>
    public static long[] RowBytes(NativeContext context)
    {
        CacheGeometry geometry = context.Model.Geometry;
        long first = context.Get(NativeCacheKey.RowBytes);
        (int, int) size = (geometry.Layers[0].HeadSizeK, geometry.Layers[0].HeadSizeV);
        return [.. geometry.Layers.Select(layer => (layer.HeadSizeK, layer.HeadSizeV) == size ? first : Of(layer))];

        long Of(AttentionLayer layer) => KvMemory.Bytes(layer.HeadSizeK, CacheTypes.Of(context.Get(NativeCacheKey.TypeK)))
            + KvMemory.Bytes(layer.HeadSizeV, CacheTypes.Of(context.Get(NativeCacheKey.TypeV)));
    }

    /// <summary>
    /// The token id of every position from 0 to rows - 1, once the kept rows are given these positions. Unknown where KV heads keep rows of different tokens.
    /// </summary>
    /// <param name="context">A context with a compact cache whose KV heads all keep equally many rows, and no later tokens.</param>
    public static int[] TokensOfRows(NativeContext context)
    {
        int[] tokens = context.Tokens(0, context.Position);
        (int[] rows, _) = KeptRows(context);
        int[] shared = [];
        int list = 0;
        for (int layer = 0; layer < context.Model.Geometry.Layers.Count; layer++)
        {
            for (int head = 0; head < context.Model.Geometry.Layers[layer].KvHeads; head++, list++)
            {
                int[] kept = KeptPositions(context, layer, head, rows[list]);
                shared = list == 0 ? kept : [.. shared.Zip(kept, (one, other) => one == other ? one : CacheState.UnknownToken)];
            }
        }

        return Array.ConvertAll(shared, position => position < 0 ? CacheState.UnknownToken : tokens[position]);
    }

    /// <summary>Rows that every KV head has, of kept context and of later tokens, [KV heads of all layers].</summary>
    public static int[] RowsPerHead(NativeContext context)
    {
        if (!context.IsCompact)
        {
            int[] all = new int[context.Model.Geometry.KvHeads.Total];
            Array.Fill(all, context.Position);
            return all;
        }

        (int[] kept, _) = KeptRows(context);
        int appended = context.Position - (int)context.Get(NativeCacheKey.ContextTokens);
        return Array.ConvertAll(kept, rows => rows + appended);
    }

    /// <summary>Kept rows and room of every KV head, [KV heads of all layers] each.</summary>
    public static unsafe (int[] Rows, int[] Room) KeptRows(NativeContext context)
    {
        int[] rows = new int[context.Model.Geometry.KvHeads.Total];
        int[] room = new int[rows.Length];
        fixed (int* rowsPointer = rows, roomPointer = room)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_cache_rows(context.Handle, rowsPointer, roomPointer, (nuint)rows.Length), nameof(NativeMethods.edgekv_cache_rows));
        }

        return (rows, room);
    }

    /// <summary>The positions that one KV head kept, ascending.</summary>
    /// <param name="context">A context with a compact cache.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="head">0 to the layer's KV heads - 1.</param>
    /// <param name="count">How many, from <see cref="KeptRows"/>.</param>
    public static unsafe int[] KeptPositions(NativeContext context, int layer, int head, int count)
    {
        int[] positions = new int[count];
        fixed (int* pointer = positions)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_cache_positions(context.Handle, layer, head, pointer, (nuint)count), nameof(NativeMethods.edgekv_cache_positions));
        }

        return positions;
    }
}
