using System.Runtime.CompilerServices;
using LLama.Native;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>Keeps llama.cpp's log out of the tests' output.</summary>
internal static class Silence
{
    [ModuleInitializer]
    internal static void LlamaCpp()
    {
        EdgeKVRuntime.Use();
        NativeLogConfig.llama_log_set(static (_, _) => { });
    }
}
