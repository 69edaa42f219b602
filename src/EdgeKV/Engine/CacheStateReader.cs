using EdgeKV.Models.Chat;
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
        int heads = context.Model.Geometry!.TotalKvHeads;
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
            RowBytes = context.Get(NativeCacheKey.RowBytes),
            ContextSize = (int)context.Get(NativeCacheKey.ContextSize),
            Limit = limit,
            Sequences = sequences,
            HasLearnedScores = position > 0 && context.KnowsLearned(position),
            Turn = TurnOf(context, tokens),
        };
    }

    /// <summary>Whose turn the tokens end in.</summary>
    public static ConversationTurn TurnOf(NativeContext context, ReadOnlySpan<int> tokens)
    {
        ConversationTurn turn = context.Chat.TurnOf(tokens);
        return turn == ConversationTurn.Plain && context.RerotatedTurn is { } before ? before : turn;
    }

    /// <summary>Rows that every KV head has, of kept context and of later tokens, [KV heads of all layers].</summary>
    public static int[] RowsPerHead(NativeContext context)
    {
        if (!context.IsCompact)
        {
            int[] all = new int[context.Model.Geometry!.TotalKvHeads];
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
        int[] rows = new int[context.Model.Geometry!.TotalKvHeads];
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
