using System.Runtime.InteropServices;

namespace EdgeKV.Native;

/// <summary><c>edgekv_device</c> of edgekv.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeDevice
{
    public byte* Name;
    public byte* Description;
    public byte* Backend;
    public byte* Features;
    public NativeDeviceKind Kind;
    public ulong MemoryFree;
    public ulong MemoryTotal;
}
