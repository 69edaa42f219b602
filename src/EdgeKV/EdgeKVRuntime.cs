using EdgeKV.Native.Loading;
using LLama.Abstractions;
using LLama.Native;

namespace EdgeKV;

/// <summary>Gives LLamaSharp EdgeKV's build of llama.cpp, on the ggml libraries of whichever LLamaSharp backend package the program references.</summary>
public static class EdgeKVRuntime
{
    private static readonly Lock Gate = new();
    private static bool _used;
    private static volatile bool _failed;

    /// <summary>
    /// Whether LLamaSharp runs on EdgeKV's library. Loads the library when LLamaSharp has not done so yet.
    /// </summary>
    public static bool IsActive
    {
        get
        {
            Load();
            return Reason() is null;
        }
    }

    /// <summary>
    /// Registers EdgeKV's library with LLamaSharp. Must come before the first use of LLamaSharp, even before <c>new ModelParams(…)</c>, which loads the
    /// native library already. Further calls do nothing. Never throws: attaching to a context and loading an <c>EdgeModel</c> say what went wrong.
    /// </summary>
    public static void Use()
    {
        lock (Gate)
        {
            if (_used)
            {
                return;
            }

            _used = true;
            try
            {
                NativeLibraryConfig.All.WithSelectingPolicy(Policy(new DefaultNativeLibrarySelectingPolicy()));
            }
            catch (InvalidOperationException)
            {
                EdgeKVLibrary.Refuse(
                    "LLamaSharp had loaded its own library before EdgeKVRuntime.Use(). Call EdgeKVRuntime.Use() first in the program, before any ModelParams is made.");
            }
        }
    }

    /// <summary>A policy that leaves the choice of the backend to another policy and gives EdgeKV's library for it.</summary>
    /// <param name="inner">Chooses among AVX levels, CUDA and Vulkan.</param>
    /// <returns>For <see cref="NativeLibraryConfig.WithSelectingPolicy(INativeLibrarySelectingPolicy)"/>, in place of <see cref="Use"/>.</returns>
    public static INativeLibrarySelectingPolicy Policy(INativeLibrarySelectingPolicy inner)
    {
        ArgumentNullException.ThrowIfNull(inner);
        lock (Gate)
        {
            _used = true;
        }

        return new EdgeKVSelectingPolicy(inner);
    }

    /// <summary>Loads the native library where that has not happened yet, and makes sure that it is EdgeKV's.</summary>
    /// <exception cref="NativeLibraryException">It is not; the message says why.</exception>
    internal static void EnsureLoaded()
    {
        Load();
        if (Reason() is { } reason)
        {
            throw new NativeLibraryException(reason);
        }
    }

    private static void Load()
    {
        Use();
        if (_failed)
        {
            return;
        }

        try
        {
            NativeApi.llama_empty_call();
        }
        catch (TypeInitializationException e)
        {
            EdgeKVLibrary.Refuse(
                $"LLamaSharp could not load a native library: {(e.InnerException ?? e).Message.Trim()} Reference one of LLamaSharp's backend packages, LLamaSharp.Backend.Cpu for example.");
            _failed = true;
        }
    }

    private static string? Reason() => !_failed && NativeApi.GetLoadedNativeLibrary(NativeLibraryName.LLama) is EdgeKVNativeLibrary or PluginLibrary && EdgeKVLibrary.Path is not null
        ? null
        : EdgeKVLibrary.Refusal
            ?? "LLamaSharp runs on another library: a selecting policy was set after EdgeKVRuntime.Use(). Wrap that policy with EdgeKVRuntime.Policy(…).";
}
