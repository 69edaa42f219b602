using System.Runtime.InteropServices;

namespace EdgeKV.Native;

/// <summary>The declarations of edgekv_chat.h, as <see cref="NativeMethods"/> has those of edgekv.h.</summary>
internal static unsafe partial class NativeChatMethods
{
    // As upstream spells them, so that a reader finds them in the header.
#pragma warning disable IDE1006 // Naming styles
    [LibraryImport(NativeMethods.Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_chat_render(
        nint model,
        string? chat_template,
        string messages,
        string? tools,
        string? options,
        out nint result);

    [LibraryImport(NativeMethods.Library)]
    public static partial NativeStatus edgekv_chat_parse(
        byte* parameters,
        byte* answer,
        nuint answer_bytes,
        [MarshalAs(UnmanagedType.U1)] bool is_partial,
        out nint result);

    [LibraryImport(NativeMethods.Library)]
    public static partial NativeStatus edgekv_chat_json(nint result, byte* text, nuint capacity, out nuint length);

    [LibraryImport(NativeMethods.Library)]
    public static partial void edgekv_chat_free(nint result);
#pragma warning restore IDE1006
}
