using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_scores</c>: arrays [n_layer, n_head, n_context] that may outlive the context they came from.</summary>
internal sealed class ScoresHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <summary>Takes over what <c>edgekv_scores_create</c> gave.</summary>
    public ScoresHandle(nint scores)
        : base(ownsHandle: true) => SetHandle(scores);

    protected override bool ReleaseHandle()
    {
        NativeMethods.edgekv_scores_free(handle);
        return true;
    }
}
