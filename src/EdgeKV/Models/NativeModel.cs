using System.Text;
using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Models;

/// <summary>What EdgeKV's library knows about a loaded model beyond LLamaSharp.</summary>
internal static unsafe class NativeModel
{
    /// <summary>The layers that keep rows in the KV cache; null when no layer does.</summary>
    public static CacheGeometry? GeometryOf(SafeLlamaModelHandle model)
    {
        const int Numbers = 5;
        _ = NativeMethods.edgekv_model_layers(model, null, 0, out nuint count);
        if (count == 0)
        {
            return null;
        }

        int[] numbers = new int[(int)count * Numbers];
        fixed (int* pointer = numbers)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_model_layers(model, pointer, count, out count), nameof(NativeMethods.edgekv_model_layers));
        }

        return new CacheGeometry(numbers.Chunk(Numbers).Select(layer => new AttentionLayer(layer[0], layer[1], layer[2], layer[3], layer[4])));
    }

    /// <summary>The file that a model was loaded from; empty when it was loaded another way.</summary>
    public static string PathOf(SafeLlamaModelHandle model)
    {
        byte[] text = new byte[4096];
        while (true)
        {
            nuint length;
            fixed (byte* pointer = text)
            {
                if (NativeMethods.edgekv_model_path(model, pointer, (nuint)text.Length, out length) != NativeStatus.Ok)
                {
                    return string.Empty;
                }
            }

            if (length < (nuint)text.Length)
            {
                return Encoding.UTF8.GetString(text, 0, (int)length);
            }

            text = new byte[checked((int)length + 1)];
        }
    }
}
