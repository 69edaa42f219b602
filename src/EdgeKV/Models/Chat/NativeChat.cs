using System.Runtime.InteropServices;
using System.Text;
using EdgeKV.Native;

namespace EdgeKV.Models.Chat;

/// <summary>Chat templates by llama.cpp's engine: JSON in, JSON out. edgekv_chat.h says what is in it.</summary>
internal static unsafe class NativeChat
{
    /// <summary>Writes a conversation as a chat template does.</summary>
    /// <param name="model">A <c>struct llama_model</c>; null where <paramref name="template"/> is given.</param>
    /// <param name="template">A template instead of the model's own; null for the model's.</param>
    /// <param name="messages">A JSON array.</param>
    /// <param name="tools">A JSON array; null for none.</param>
    /// <param name="options">A JSON object.</param>
    /// <returns>A JSON object as UTF-8.</returns>
    /// <exception cref="UnsupportedModelException">There is no template, it fails, or it refuses the conversation.</exception>
    /// <exception cref="EdgeKVException">A JSON text is not of the form that it must have.</exception>
    public static byte[] Render(SafeHandle? model, string? template, string messages, string? tools, string options)
    {
        bool added = false;
        nint result = 0;
        try
        {
            model?.DangerousAddRef(ref added);
            NativeStatus status = NativeChatMethods.edgekv_chat_render(
                model?.DangerousGetHandle() ?? 0, template, messages, tools, options, out result);
            NativeErrors.ThrowIfFailed(status, nameof(NativeChatMethods.edgekv_chat_render));
            return Json(result);
        }
        finally
        {
            NativeChatMethods.edgekv_chat_free(result);
            if (added)
            {
                model!.DangerousRelease();
            }
        }
    }

    /// <summary>Takes an answer apart.</summary>
    /// <param name="parameters">What <see cref="Render"/> gave as `answer`, as UTF-8 with a zero at the end.</param>
    /// <param name="answer">The answer's text, control tokens included.</param>
    /// <param name="isPartial">Whether more of it may follow.</param>
    /// <returns>A JSON object as UTF-8.</returns>
    /// <exception cref="SessionStateException">The answer is not of the form that the template's answers have.</exception>
    /// <exception cref="UnsupportedModelException">The answer takes more time or memory than is allowed.</exception>
    public static byte[] Parse(byte[] parameters, string answer, bool isPartial)
    {
        byte[] text = Encoding.UTF8.GetBytes(answer);
        nint result = 0;
        try
        {
            fixed (byte* parametersPointer = parameters)
            fixed (byte* textPointer = text)
            {
                NativeStatus status = NativeChatMethods.edgekv_chat_parse(
                    parametersPointer, textPointer, (nuint)text.Length, isPartial, out result);
                NativeErrors.ThrowIfFailed(status, nameof(NativeChatMethods.edgekv_chat_parse));
            }

            return Json(result);
        }
        finally
        {
            NativeChatMethods.edgekv_chat_free(result);
        }
    }

    private static byte[] Json(nint result)
    {
        NativeChatMethods.edgekv_chat_json(result, null, 0, out nuint length);
        byte[] text = new byte[checked((int)length + 1)];
        fixed (byte* pointer = text)
        {
            NativeStatus status = NativeChatMethods.edgekv_chat_json(result, pointer, (nuint)text.Length, out _);
            NativeErrors.ThrowIfFailed(status, nameof(NativeChatMethods.edgekv_chat_json));
        }

        return text[..^1];
    }
}
