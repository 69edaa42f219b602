using System.Runtime.InteropServices;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Testing;

namespace EdgeKV.ModelTests;

/// <summary>A llama_context that somebody else made, as LLamaSharp does: its cache is taken over, or refused with the reason.</summary>
public sealed unsafe class AttachTests
{
    private const int Context = 100;
    private const int ContextParamsBytes = 144;
    private const int ModelParamsBytes = 72;
    private const int GpuLayersOffset = 16;
    private const int OperationOffloadOffset = 123;

    [Fact]
    public void Attach_PlainContext_IsCompressedLikeOurOwn()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 8, 4);
        EngineOptions options = new(TinyModels.PathOf(TinyModel.Qwen2)) { ContextSize = 512, Threads = 1 };
        using Engine expected = Engine.Open(options);
        CompressionPlan plan = Plans.Ragged(expected.Layers, expected.KvHeads, Context, 5);
        expected.Prefill(tokens.AsSpan(0, Context));
        expected.Apply(plan);
        Logits logits = expected.Decode(tokens.AsSpan(Context));

        using Foreign foreign = new(options.Model, p => { });
        using ContextHandle context = foreign.Attach();
        fixed (int* t = tokens)
        {
            fixed (int* counts = plan.Counts)
            {
                fixed (int* positions = plan.FlatPositions)
                {
                    Ok(NativeMethods.edgekv_decode(context, t, Context, NativeLogits.None, null, null));
                    Ok(NativeMethods.edgekv_apply(
                        context, counts, (nuint)plan.Counts.Length, positions, (nuint)plan.FlatPositions.Length, 0, 0));
                }
            }

            for (int i = 0; i < logits.Tokens; i++)
            {
                Ok(NativeMethods.edgekv_decode(context, t + Context + i, 1, NativeLogits.Last, null, null));
                Ok(NativeMethods.edgekv_logits(context, -1, out float* here));
                Assert.InRange(Divergence.Of(logits[i], new ReadOnlySpan<float>(here, logits.Vocabulary)), 0, 1e-5);
            }
        }
    }

    [Fact]
    public void Attach_WithoutFlashAttention_IsRefused() =>
        Refused(p => Write(p, ContextParamsField.FlashAttention, 0), "flash attention");

    [Fact]
    public void Attach_SeveralStreams_IsRefused() => Refused(p => Write(p, ContextParamsField.Sequences, 4), "streams");

    [Fact]
    public void Attach_Twice_IsRefused()
    {
        using Foreign foreign = new(TinyModels.PathOf(TinyModel.Qwen2), p => { });
        using ContextHandle context = foreign.Attach();
        Assert.Throws<SessionStateException>(() => foreign.Attach().Dispose());
    }

    [Fact]
    public void Attach_Null_IsRefused()
    {
        NativeLibraryLoader.EnsureLoaded();
        Assert.Throws<EdgeKVException>(() => NativeErrors.ThrowIfFailed(NativeMethods.edgekv_context_attach(0, out _), "edgekv_context_attach"));
    }

    private static void Refused(Action<nint> change, string reason)
    {
        using Foreign foreign = new(TinyModels.PathOf(TinyModel.Qwen2), change);
        UnsupportedModelException refusal = Assert.Throws<UnsupportedModelException>(() => foreign.Attach().Dispose());
        Assert.Contains(reason, refusal.Message, StringComparison.Ordinal);
    }

    private static void Write(nint parameters, ContextParamsField field, int value) => Marshal.WriteInt32(parameters, (int)field, value);

    private static void Ok(NativeStatus status) => NativeErrors.ThrowIfFailed(status, "a call on a context of somebody else");

    // Offsets that LLamaSharpLayoutTests checks.
    private enum ContextParamsField
    {
        Cells = 0,
        Sequences = 12,
        Threads = 20,
        ThreadsOfBatches = 24,
        FlashAttention = 44,
    }

    [StructLayout(LayoutKind.Sequential, Size = ContextParamsBytes)]
    private struct ContextParams
    {
        public long First;
    }

    [StructLayout(LayoutKind.Sequential, Size = ModelParamsBytes)]
    private struct ModelParams
    {
        public long First;
    }

    /// <summary>A model and a context made by llama.h's own functions.</summary>
    private sealed class Foreign : IDisposable
    {
        private readonly nint _library;
        private readonly nint _model;
        private readonly nint _context;

        public Foreign(string model, Action<nint> change)
        {
            _library = NativeLibrary.Load(Path.Combine(NativeLibraryLoader.Folder, "libllama.so"));
            ModelParams modelParams = ((delegate* unmanaged[Cdecl]<ModelParams>)Export("llama_model_default_params"))();
            // On the CPU, whatever devices there are.
            Marshal.WriteInt32((nint)(&modelParams), GpuLayersOffset, 0);
            nint path = Marshal.StringToCoTaskMemUTF8(model);
            _model = ((delegate* unmanaged[Cdecl]<nint, ModelParams, nint>)Export("llama_model_load_from_file"))(path, modelParams);
            Marshal.FreeCoTaskMem(path);
            Assert.NotEqual(0, _model);

            ContextParams contextParams = ((delegate* unmanaged[Cdecl]<ContextParams>)Export("llama_context_default_params"))();
            nint parameters = (nint)(&contextParams);
            Write(parameters, ContextParamsField.Cells, 512);
            Write(parameters, ContextParamsField.Threads, 1);
            Write(parameters, ContextParamsField.ThreadsOfBatches, 1);
            Write(parameters, ContextParamsField.FlashAttention, 1);
            Marshal.WriteByte(parameters, OperationOffloadOffset, 0);
            change(parameters);
            _context = ((delegate* unmanaged[Cdecl]<nint, ContextParams, nint>)Export("llama_init_from_model"))(_model, contextParams);
            Assert.NotEqual(0, _context);
        }

        public ContextHandle Attach()
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_context_attach(_context, out nint raw), nameof(NativeMethods.edgekv_context_attach));
            ContextHandle handle = new();
            Marshal.InitHandle(handle, raw);
            return handle;
        }

        public void Dispose()
        {
            ((delegate* unmanaged[Cdecl]<nint, void>)Export("llama_free"))(_context);
            ((delegate* unmanaged[Cdecl]<nint, void>)Export("llama_model_free"))(_model);
            NativeLibrary.Free(_library);
        }

        private nint Export(string name) => NativeLibrary.GetExport(_library, name);
    }
}
