using EdgeKV.Engine;
using LLama;
using LLama.Common;

namespace EdgeKV.LLamaSharpRunner;

/// <summary>A program that uses LLamaSharp before it calls <see cref="EdgeKVRuntime.Use"/>.</summary>
internal static class LateUse
{
    /// <summary>What attaching throws: the type and the message.</summary>
    public static string Reason(string model)
    {
        // A field of it asks llama_max_devices, which loads the library.
        ModelParams parameters = new(model) { ContextSize = 256, GpuLayerCount = 0 };
        EdgeKVRuntime.Use();
        using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
        using LLamaContext context = weights.CreateContext(parameters);
        try
        {
            using KvContext kv = KvContext.Attach(context);
            return "attached";
        }
        catch (EdgeKVException e)
        {
            return $"{e.GetType().Name}: {e.Message}";
        }
    }
}
