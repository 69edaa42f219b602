using System.Runtime.InteropServices;
using LLama.Native;

namespace EdgeKV.Native.Tests.Packaged;

/// <summary>A model and a context of our libllama by llama.h's functions alone: one thread, f16 caches, flash attention.</summary>
internal sealed unsafe class RawModel : IDisposable
{
    private readonly nint _model;
    private readonly nint _context;
    private readonly int _vocabulary;

    public RawModel(string path, uint contextSize)
    {
        LLamaModelParams modelParameters = Libraries.Function<ModelDefaults>("llama_model_default_params")();
        modelParameters.n_gpu_layers = 0;
        _model = Libraries.Function<LoadModel>("llama_model_load_from_file")(path, modelParameters);
        Assert.NotEqual(0, _model);
        nint vocabulary = Libraries.Function<Get>("llama_model_get_vocab")(_model);
        _vocabulary = Libraries.Function<GetCount>("llama_vocab_n_tokens")(vocabulary);

        LLamaContextParams contextParameters = Libraries.Function<ContextDefaults>("llama_context_default_params")();
        contextParameters.n_ctx = contextSize;
        contextParameters.n_batch = contextSize;
        contextParameters.n_threads = 1;
        contextParameters.n_threads_batch = 1;
        contextParameters.llama_flash_attn_type = LLamaFlashAttentionType.LLAMA_FLASH_ATTENTION_TYPE_ENABLED;
        _context = Libraries.Function<CreateContext>("llama_init_from_model")(_model, contextParameters);
        Assert.NotEqual(0, _context);
    }

    private delegate LLamaModelParams ModelDefaults();

    private delegate LLamaContextParams ContextDefaults();

    private delegate nint LoadModel([MarshalAs(UnmanagedType.LPUTF8Str)] string path, LLamaModelParams parameters);

    private delegate nint CreateContext(nint model, LLamaContextParams parameters);

    private delegate nint Get(nint owner);

    private delegate int GetCount(nint owner);

    private delegate void Free(nint owner);

    private delegate LLamaNativeBatch MakeBatch(int* tokens, int count);

    private delegate int Decode(nint context, LLamaNativeBatch batch);

    private delegate float* GetLogits(nint context, int index);

    /// <summary>Decodes tokens and returns the logits behind the last one.</summary>
    public float[] Read(int[] tokens)
    {
        fixed (int* pointer = tokens)
        {
            LLamaNativeBatch batch = Libraries.Function<MakeBatch>("llama_batch_get_one")(pointer, tokens.Length);
            Assert.Equal(0, Libraries.Function<Decode>("llama_decode")(_context, batch));
        }

        return new ReadOnlySpan<float>(Libraries.Function<GetLogits>("llama_get_logits_ith")(_context, -1), _vocabulary).ToArray();
    }

    public void Dispose()
    {
        Libraries.Function<Free>("llama_free")(_context);
        Libraries.Function<Free>("llama_model_free")(_model);
    }
}
