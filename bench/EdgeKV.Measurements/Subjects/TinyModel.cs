namespace EdgeKV.Measurements.Subjects;

/// <summary>Tiny models with random weights, one for each way in which an architecture can matter to the cache.</summary>
public enum TinyModel
{
    /// <summary>llama: 8 heads on 2 KV heads, head size 128.</summary>
    LlamaGrouped,

    /// <summary>llama: 4 heads on 4 KV heads, head size 64.</summary>
    LlamaUngrouped,

    /// <summary>llama: Q, K and V from one matrix, so V is a view with strides of its own; 6 heads on 2 KV heads.</summary>
    LlamaFused,

    /// <summary>llama: head size 96, whose q8_0 and q4_0 rows are not whole 32-bit words; 4 heads on 2 KV heads.</summary>
    LlamaOddHead,

    /// <summary>llama: head size 48, which no quantized cache can hold; 4 heads on 2 KV heads.</summary>
    LlamaNarrowHead,

    /// <summary>qwen2: biases on Q, K and V; 6 heads on 2 KV heads.</summary>
    Qwen2,

    /// <summary>qwen3: norms on Q and K; 8 heads on 4 KV heads.</summary>
    Qwen3,

    /// <summary>phi3: Q, K and V from one matrix, gate and up from another; 4 heads on 2 KV heads.</summary>
    Phi3,

    /// <summary>openelm: layers with 4, 6 and 8 heads on 1, 3 and 2 KV heads.</summary>
    OpenElm,

    /// <summary>deci: a layer with linear attention and one with none, neither of which has a cache, between layers with 2 and 4 KV heads.</summary>
    Deci,

    /// <summary>llama: a window of a thousand million tokens, so that memory ends before it does.</summary>
    LlamaLongWindow,

    /// <summary>llama: longrope, with other RoPE factors from 1025 positions on.</summary>
    LlamaLongRope,

    /// <summary>llama: YaRN, four times the original context.</summary>
    LlamaYarn,

    /// <summary>gemma3: sliding windows. Refused.</summary>
    Gemma3,

    /// <summary>mamba: a recurrent state and no KV cache. Refused.</summary>
    Mamba,

    /// <summary>deepseek2: multi-head latent attention. Refused.</summary>
    DeepSeek2,

    /// <summary>bloom: ALiBi, whose mask reads positions. Refused.</summary>
    Bloom,

    /// <summary>qwen2vl: positions of several axes. Refused.</summary>
    Qwen2Vl,

    /// <summary>lfm2: attention and convolution layers mixed. Refused.</summary>
    Lfm2,

    /// <summary>laguna: sliding windows, query heads that differ by layer, a gate behind attention, a mixture of experts.</summary>
    Laguna,

    /// <summary>nanbeige: its layers run twice, each time with rows of their own.</summary>
    Nanbeige,

    /// <summary>minimax-m3: each token attends to a few blocks that an indexer chooses; a mixture of experts.</summary>
    MiniMaxM3,

    /// <summary>glm-dsa: multi-head latent attention over the tokens that an indexer chooses, which every second layer shares.</summary>
    GlmDsa,
}
