using EdgeKV.Native;

namespace EdgeKV;

public sealed partial class EdgeSession
{
    /// <summary>From here on keeps what every layer's attention is given, of one batch at a time.</summary>
    /// <param name="contextSize">Tokens that will be read, where the session chooses the size of its cache.</param>
    /// <exception cref="UnsupportedModelException">The model's graph does not name it.</exception>
    internal void KeepInputs(int contextSize) => RunHere("keep inputs", () =>
    {
        EnsureContext(contextSize);
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_inputs_keep(Live, keep: true), nameof(NativeMethods.edgekv_inputs_keep));
        }

        return true;
    });

    /// <summary>What a layer's attention was given for the tokens read last, one batch of them.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="inputs">Takes [tokens, embedding].</param>
    internal unsafe void ReadInputs(int layer, Span<float> inputs)
    {
        Enter("read inputs");
        try
        {
            lock (_native)
            {
                fixed (float* pointer = inputs)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_inputs(Live, layer, pointer, (nuint)inputs.Length), nameof(NativeMethods.edgekv_inputs));
                }
            }
        }
        finally
        {
            Exit();
        }
    }
}
