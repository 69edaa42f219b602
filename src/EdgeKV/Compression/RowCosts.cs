using System.Numerics;
using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Planning;

namespace EdgeKV.Compression;

/// <summary>What a kept row costs in a context, and the most rows that a KV head gets beside its kept ones, as <c>edgekv_apply</c> rounds them.</summary>
internal static class RowCosts
{
    // What edgekv_apply takes for a room of 0.
    private const int DefaultRoom = 256;

    // Rows and bytes to which the native library rounds.
    private const int DeviceAlign = 256;
    private const int DeviceOffset = 256;
    private const int HostOffset = 32;

    /// <summary>Refuses more room than a context can ever use.</summary>
    /// <exception cref="EdgeKVException">Room or step is above the model's window.</exception>
    public static void EnsureRoom(EdgeModel model, CompressOptions options)
    {
        if (options.Room > model.Window || options.Align > model.Window)
        {
            throw new EdgeKVException(
                $"Room for {options.Room} tokens in steps of {options.Align} is more than the model's window of {model.Window} tokens. Give at most that much.");
        }
    }

    /// <summary>The least that a row can cost, whatever device the cache will lie on: no rounding, and the room alone beside kept rows.</summary>
    public static RowCost Least(EdgeModel model, KvCacheType type, CompressOptions options)
    {
        long[] rowBytes = [.. Enumerable.Range(0, model.Geometry.Layers.Count).Select(layer => model.KvMemory.BytesPerRow(layer, type))];
        return new RowCost(rowBytes[0], options.Room == 0 ? DefaultRoom : options.Room) { BytesByLayer = rowBytes };
    }

    /// <summary>The cost for a context whose cache is rewritten with given options.</summary>
    /// <exception cref="EdgeKVException">Room or step is above the model's window.</exception>
    public static RowCost Of(NativeContext context, CompressOptions options)
    {
        EnsureRoom(context.Model, options);
        bool onDevice = context.Get(NativeCacheKey.OnDevice) != 0;
        int room = options.Room == 0 ? DefaultRoom : options.Room;
        int align = options.Align > 0 ? options.Align : onDevice ? DeviceAlign : 1;
        room = checked((room + align - 1) / align * align);

        // Every head's rows begin at an offset that the backend is fast with, so heads are rounded up to as many rows as that takes.
        int bytes = onDevice ? DeviceOffset : HostOffset;
        KvCacheType typeK = CacheTypes.Of(context.Get(NativeCacheKey.TypeK));
        KvCacheType typeV = CacheTypes.Of(context.Get(NativeCacheKey.TypeV));
        int step = context.Model.Geometry.Layers.Max(layer => Math.Max(Step(layer.HeadSizeK, typeK), Step(layer.HeadSizeV, typeV)));
        long[] rowBytes = CacheStateReader.RowBytes(context);
        return new RowCost(rowBytes[0], room + step - 1) { BytesByLayer = rowBytes };

        int Step(int elements, KvCacheType type) => bytes / (int)BigInteger.GreatestCommonDivisor(bytes, KvMemory.Bytes(elements, type));
    }
}
