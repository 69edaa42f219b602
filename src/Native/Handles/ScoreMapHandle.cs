namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_score_map</c>.</summary>
internal sealed class ScoreMapHandle : ModelPartHandle
{
    /// <summary>Copies weights [layers][embedding + 1][KV heads], the bias last, to where the layers lie.</summary>
    /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="EdgeKVException">The weights are not for this model, or one is not a number.</exception>
    public static unsafe ScoreMapHandle Create(ModelHandle model, ReadOnlySpan<float> weights)
    {
        ScoreMapHandle handle = new();
        handle.Fill(model, weights, static (model, weights) =>
        {
            fixed (float* pointer = weights)
            {
                NativeStatus status = NativeMethods.edgekv_score_map_create(model, pointer, (nuint)weights.Length, out nint raw);
                NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_score_map_create));
                return raw;
            }
        });
        return handle;
    }

    protected override void Free() => NativeMethods.edgekv_score_map_free(handle);
}
