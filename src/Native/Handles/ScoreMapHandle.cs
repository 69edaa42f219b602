using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_score_map</c>. Contexts that use the map keep it, so the handle may be disposed once the map is set.</summary>
internal sealed class ScoreMapHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <summary>Takes over what <c>edgekv_score_map_create</c> gave.</summary>
    public ScoreMapHandle(nint map)
        : base(ownsHandle: true) => SetHandle(map);

    protected override bool ReleaseHandle()
    {
        NativeMethods.edgekv_score_map_free(handle);
        return true;
    }
}
