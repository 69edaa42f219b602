using System.IO.Compression;
using System.Reflection;
using System.Runtime.InteropServices;
using EdgeKV.Native;
using EdgeKV.Testing;

namespace EdgeKV.ModelTests;

/// <summary>
/// LLamaSharp 0.28.0 passes two of llama.h's structs by value. That our libllama has them so is seen from what its default functions
/// write where; that LLamaSharp has them so, from its assembly.
/// </summary>
public sealed unsafe class LLamaSharpLayoutTests
{
    private const byte Sentinel = 0xCD;
    private const string Package = "LLamaSharp.0.28.0.nupkg";

    /// <summary>Field, offset and default of llama_context_params as LLamaSharp 0.28.0 declares it.</summary>
    private static readonly (string Name, int Offset, object Default)[] ContextParams =
    [
        ("n_ctx", 0, 512u),
        ("n_batch", 4, 2048u),
        ("n_ubatch", 8, 512u),
        ("n_seq_max", 12, 1u),
        ("n_rs_seq", 16, 0u),
        ("n_threads", 20, 4),
        ("n_threads_batch", 24, 4),
        ("context_type", 28, 0),
        ("rope_scaling_type", 32, -1),
        ("llama_pooling_type", 36, -1),
        ("attention_type", 40, -1),
        ("llama_flash_attn_type", 44, -1),
        ("rope_freq_base", 48, 0f),
        ("rope_freq_scale", 52, 0f),
        ("yarn_ext_factor", 56, -1f),
        ("yarn_attn_factor", 60, -1f),
        ("yarn_beta_fast", 64, -1f),
        ("yarn_beta_slow", 68, -1f),
        ("yarn_orig_ctx", 72, 0u),
        ("defrag_threshold", 76, -1f),
        ("cb_eval", 80, 0L),
        ("cb_eval_user_data", 88, 0L),
        ("type_k", 96, 1),
        ("type_v", 100, 1),
        ("abort_callback", 104, 0L),
        ("abort_callback_user_data", 112, 0L),
        ("_embeddings", 120, false),
        ("_offload_kqv", 121, true),
        ("_no_perf", 122, true),
        ("_op_offload", 123, true),
        ("_swa_full", 124, true),
        ("_kv_unified", 125, false),
        ("samplers", 128, 0L),
        ("n_samplers", 136, 0L),
    ];

    /// <summary>The same of llama_model_params.</summary>
    private static readonly (string Name, int Offset, object Default)[] ModelParams =
    [
        ("devices", 0, 0L),
        ("tensor_buft_overrides", 8, 0L),
        ("n_gpu_layers", 16, -1),
        ("split_mode", 20, 1),
        ("main_gpu", 24, 0),
        ("tensor_split", 32, 0L),
        ("progress_callback", 40, 0L),
        ("progress_callback_user_data", 48, 0L),
        ("kv_overrides", 56, 0L),
        ("_vocab_only", 64, false),
        ("_use_mmap", 65, true),
        ("_use_direct_io", 66, false),
        ("_use_mlock", 67, false),
        ("_check_tensors", 68, false),
        ("_use_extra_bufts", 69, true),
        ("_no_host", 70, false),
        ("_no_alloc", 71, false),
    ];

    [Fact]
    public void ContextParams_OfOurLibrary_LieWhereLLamaSharpHasThem() => CheckLibrary("llama_context_default_params", ContextParams, size: 144);

    [Fact]
    public void ModelParams_OfOurLibrary_LieWhereLLamaSharpHasThem() => CheckLibrary("llama_model_default_params", ModelParams, size: 72);

    [Fact]
    public void ContextParams_OfLLamaSharp_AreTheseFacts() => CheckAssembly("LLama.Native.LLamaContextParams", ContextParams, size: 144);

    [Fact]
    public void ModelParams_OfLLamaSharp_AreTheseFacts() => CheckAssembly("LLama.Native.LLamaModelParams", ModelParams, size: 72);

    private static void CheckLibrary(string function, (string Name, int Offset, object Default)[] fields, int size)
    {
        // Elsewhere the place for a struct that is returned by value is not passed as the first argument.
        Assert.SkipUnless(RuntimeInformation.ProcessArchitecture == Architecture.X64 && OperatingSystem.IsLinux(), "Linux on x64 only.");
        nint library = NativeLibrary.Load(Path.Combine(NativeLibraryLoader.Folder, "libllama.so"));
        var defaults = (delegate* unmanaged[Cdecl]<byte*, byte*>)NativeLibrary.GetExport(library, function);
        const int Enough = 512;
        byte* bytes = stackalloc byte[Enough];
        new Span<byte>(bytes, Enough).Fill(Sentinel);
        defaults(bytes);

        foreach (var (name, offset, expected) in fields)
        {
            object found = expected switch
            {
                uint => *(uint*)(bytes + offset),
                int => *(int*)(bytes + offset),
                float => *(float*)(bytes + offset),
                long => *(long*)(bytes + offset),
                _ => bytes[offset] switch { 0 => false, 1 => (object)true, _ => bytes[offset] },
            };
            Assert.True(expected.Equals(found), $"{function}, {name} at {offset}: {found} instead of {expected}.");
        }

        // Nothing behind the last field is written, so that the struct ends there.
        Assert.Equal(-1, new ReadOnlySpan<byte>(bytes + size, Enough - size).IndexOfAnyExcept(Sentinel));
    }

    private static void CheckAssembly(string type, (string Name, int Offset, object Default)[] fields, int size)
    {
        string? package = Places.Shared is { } shared ? Path.Combine(shared, "nuget", Package) : null;
        Assert.SkipUnless(File.Exists(package), $"{Package} is not in a folder `shared` beside this checkout.");
        using ZipArchive archive = ZipFile.OpenRead(package);
        using Stream entry = archive.Entries.First(e => e.Name == "LLamaSharp.dll").Open();
        using MemoryStream assembly = new();
        entry.CopyTo(assembly);
        Type structure = Assembly.Load(assembly.ToArray()).GetType(type, throwOnError: true)!;
        Assert.Equal(size, Marshal.SizeOf(structure));
        Assert.Equal(
            fields.Select(f => (f.Name, f.Offset)),
            structure.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
                .Select(f => (f.Name, (int)Marshal.OffsetOf(structure, f.Name))));
    }
}
