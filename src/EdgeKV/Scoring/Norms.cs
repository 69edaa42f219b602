using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>L2 norms of the cached keys, position encoding applied, [layers, kvHeads, tokens].</summary>
public sealed record KeyNorms : Statistic
{
    /// <inheritdoc/>
    public override string Name => "key norms";

    internal override StatisticReader Reader => NormReaders.Keys;
}

/// <summary>L2 norms of the cached values, [layers, kvHeads, tokens].</summary>
public sealed record ValueNorms : Statistic
{
    /// <inheritdoc/>
    public override string Name => "value norms";

    internal override StatisticReader Reader => NormReaders.Values;
}

/// <summary>
/// Norms of what a cached value adds to its layer's output where all attention is on it, ||W_O,a v[j]||, with W_O,a the columns of the output
/// projection that take attention head a, [layers, heads, tokens].
/// </summary>
/// <param name="Kind">Which norm.</param>
public sealed record OutputNorms(NormKind Kind) : Statistic
{
    /// <inheritdoc/>
    public override string Name => "output norms";

    internal override StatisticReader Reader => NormReaders.Outputs;

    /// <inheritdoc/>
    public override bool IsPerAttentionHead => true;

    private protected override string Describe() => $"output norms({Kind})";
}

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
