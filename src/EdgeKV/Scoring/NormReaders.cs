using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>Readers of the norms of cached rows.</summary>
internal static unsafe class NormReaders
{
    public static CacheReader Keys { get; } = new(
        nameof(NativeMethods.edgekv_norms),
        (context, _, data, count) => NativeMethods.edgekv_norms(context.Handle, NativeNorm.Keys, context.Position, data, count));

    public static CacheReader Values { get; } = new(
        nameof(NativeMethods.edgekv_norms),
        (context, _, data, count) => NativeMethods.edgekv_norms(context.Handle, NativeNorm.Values, context.Position, data, count));

    public static CacheReader Outputs { get; } = new(
        nameof(NativeMethods.edgekv_output_norms),
        (context, statistic, data, count) => NativeMethods.edgekv_output_norms(
            context.Handle,
            ((OutputNorms)statistic).Kind == NormKind.L1 ? NativeOutputNorm.L1 : NativeOutputNorm.L2,
            context.Position,
            data,
            count));
}
