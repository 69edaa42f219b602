namespace EdgeKV.Measurements.Subjects;

/// <summary>Writes the <see cref="TinyModel"/>s whose caches cannot be made compact: windows that slide, states, positions of another kind.</summary>
internal static class TinyOtherCaches
{
    private const uint Sigmoid = 2;

    public static GgufWriter Gemma3()
    {
        var shape = new TinyShape("gemma3", Layers: 6, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { HeadNorms = true };
        var draft = new TinyDraft(shape);
        draft.File.Add("gemma3.attention.sliding_window", 64u);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.Norm($"blk.{i}.post_attention_norm.weight", shape.Embedding);
            draft.FeedForward(i);
            draft.Norm($"blk.{i}.post_ffw_norm.weight", shape.Embedding);
        }

        return draft.File;
    }

    public static GgufWriter Mamba()
    {
        const int Inner = 128, State = 16, Step = 4, Kernel = 4;
        var shape = new TinyShape("mamba", Layers: 2, Heads: 0, KvHeads: 0, HeadSize: 0, Embedding: Inner / 2);
        var draft = new TinyDraft(shape);
        draft.File.Add("mamba.ssm.conv_kernel", (uint)Kernel);
        draft.File.Add("mamba.ssm.inner_size", (uint)Inner);
        draft.File.Add("mamba.ssm.state_size", (uint)State);
        draft.File.Add("mamba.ssm.time_step_rank", (uint)Step);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Norm($"blk.{i}.attn_norm.weight", shape.Embedding);
            draft.Matrix($"blk.{i}.ssm_in.weight", shape.Embedding, 2 * Inner);
            draft.Matrix($"blk.{i}.ssm_conv1d.weight", Kernel, Inner);
            draft.Constant($"blk.{i}.ssm_conv1d.bias", 0, Inner);
            draft.Matrix($"blk.{i}.ssm_x.weight", Inner, Step + (2 * State));
            draft.Matrix($"blk.{i}.ssm_dt.weight", Step, Inner);
            draft.Constant($"blk.{i}.ssm_dt.bias", 0, Inner);
            draft.Constant($"blk.{i}.ssm_a", -1, State, Inner);
            draft.Constant($"blk.{i}.ssm_d", 1, Inner);
            draft.Matrix($"blk.{i}.ssm_out.weight", Inner, shape.Embedding);
        }

        return draft.File;
    }

    public static GgufWriter DeepSeek2()
    {
        const int QueryRank = 48, Rank = 32, Rope = 16, Plain = 32, Value = 32;
        var shape = new TinyShape("deepseek2", Layers: 2, Heads: 4, KvHeads: 1, HeadSize: Rank + Rope, Embedding: 128)
        {
            ValueSize = Rank,
            RopeSize = Rope,
        };
        var draft = new TinyDraft(shape);
        draft.File.Add("deepseek2.leading_dense_block_count", (uint)shape.Layers);
        draft.File.Add("deepseek2.attention.q_lora_rank", (uint)QueryRank);
        draft.File.Add("deepseek2.attention.kv_lora_rank", (uint)Rank);
        draft.File.Add("deepseek2.attention.key_length_mla", (uint)(Plain + Rope));
        draft.File.Add("deepseek2.attention.value_length_mla", (uint)Value);
        draft.File.Add("deepseek2.expert_feed_forward_length", 64u);
        draft.File.Add("deepseek2.expert_shared_count", 1u);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Norm($"blk.{i}.attn_norm.weight", shape.Embedding);
            draft.Norm($"blk.{i}.attn_q_a_norm.weight", QueryRank);
            draft.Norm($"blk.{i}.attn_kv_a_norm.weight", Rank);
            draft.Matrix($"blk.{i}.attn_q_a.weight", shape.Embedding, QueryRank);
            draft.Matrix($"blk.{i}.attn_q_b.weight", QueryRank, shape.Heads * (Plain + Rope));
            draft.Matrix($"blk.{i}.attn_kv_a_mqa.weight", shape.Embedding, Rank + Rope);
            draft.Matrix($"blk.{i}.attn_k_b.weight", Plain, Rank, shape.Heads);
            draft.Matrix($"blk.{i}.attn_v_b.weight", Rank, Value, shape.Heads);
            draft.Matrix($"blk.{i}.attn_output.weight", shape.Heads * Value, shape.Embedding);
            draft.FeedForward(i);
        }

        return draft.File;
    }

    public static GgufWriter Bloom()
    {
        var shape = new TinyShape("bloom", Layers: 2, Heads: 4, KvHeads: 4, HeadSize: 32, Embedding: 128);
        var draft = new TinyDraft(shape);
        draft.File.Add("bloom.attention.layer_norm_epsilon", 1e-5f);
        int width = shape.Embedding;
        draft.Biased("token_embd_norm", width);
        draft.Constant("output_norm.bias", 0, width);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Biased($"blk.{i}.attn_norm", width);
            draft.Matrix($"blk.{i}.attn_qkv.weight", width, 3 * width);
            draft.Constant($"blk.{i}.attn_qkv.bias", 0, 3 * width);
            draft.Matrix($"blk.{i}.attn_output.weight", width, width);
            draft.Constant($"blk.{i}.attn_output.bias", 0, width);
            draft.Biased($"blk.{i}.ffn_norm", width);
            draft.Matrix($"blk.{i}.ffn_up.weight", width, shape.FeedForward);
            draft.Constant($"blk.{i}.ffn_up.bias", 0, shape.FeedForward);
            draft.Matrix($"blk.{i}.ffn_down.weight", shape.FeedForward, width);
            draft.Constant($"blk.{i}.ffn_down.bias", 0, width);
        }

        return draft.File;
    }

    public static GgufWriter Qwen2Vl()
    {
        var shape = new TinyShape("qwen2vl", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256) { Biases = true };
        var draft = new TinyDraft(shape);
        draft.File.Add("qwen2vl.rope.dimension_sections", [8, 12, 12, 0]);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.FeedForward(i);
        }

        return draft.File;
    }

    public static GgufWriter Lfm2()
    {
        const int Kernel = 3;
        var shape = new TinyShape("lfm2", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256)
        {
            HeadNorms = true,
            KvHeadsByLayer = [0, 2],
            OutputNorm = "token_embd_norm.weight",
        };
        var draft = new TinyDraft(shape);
        draft.File.Add("lfm2.shortconv.l_cache", (uint)Kernel);
        draft.Norm("blk.0.attn_norm.weight", shape.Embedding);
        draft.Matrix("blk.0.shortconv.conv.weight", Kernel, shape.Embedding);
        draft.Matrix("blk.0.shortconv.in_proj.weight", shape.Embedding, 3 * shape.Embedding);
        draft.Matrix("blk.0.shortconv.out_proj.weight", shape.Embedding, shape.Embedding);
        draft.FeedForward(0);
        draft.Attention(1);
        draft.FeedForward(1);
        return draft.File;
    }

    public static GgufWriter Laguna()
    {
        const int Experts = 4, Width = 64;
        var shape = new TinyShape("laguna", Layers: 4, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256)
        {
            HeadNorms = true,
            HeadsByLayer = [4, 8, 8, 8],
            RopeSize = 32,
        };
        var draft = new TinyDraft(shape);
        draft.File.Add("laguna.attention.sliding_window", 64u);
        draft.File.Add("laguna.rope.freq_base_swa", 1000f);
        draft.File.Add("laguna.rope.dimension_count_swa", 64u);
        AddExperts(draft, "laguna", Experts, Width);
        draft.File.Add("laguna.expert_shared_feed_forward_length", (uint)Width);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            draft.Matrix($"blk.{i}.attn_gate.weight", shape.Embedding, shape.HeadsByLayer[i]);
            if (i == 0)
            {
                draft.FeedForward(i);
            }
            else
            {
                draft.Experts(i, Experts, Width);
            }
        }

        return draft.File;
    }

    public static GgufWriter MiniMaxM3()
    {
        const int Experts = 4, Width = 64, IndexSize = 32;
        var shape = new TinyShape("minimax-m3", Layers: 3, Heads: 8, KvHeads: 2, HeadSize: 64, Embedding: 256)
        {
            HeadNorms = true,
            RopeSize = 32,
        };
        var draft = new TinyDraft(shape);
        AddExperts(draft, "minimax-m3", Experts, Width);
        draft.File.Add("minimax-m3.attention.indexer.head_count", (uint)shape.KvHeads);
        draft.File.Add("minimax-m3.attention.indexer.key_length", (uint)IndexSize);
        draft.File.Add("minimax-m3.attention.indexer.top_k", 2u);
        draft.File.Add("minimax-m3.attention.indexer.block_size", 32u);
        draft.File.Add("minimax-m3.attention.indexer.local_blocks", 1u);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Attention(i);
            if (i == 0)
            {
                draft.FeedForward(i);
            }
            else
            {
                draft.Matrix($"blk.{i}.indexer.q_proj.weight", shape.Embedding, shape.KvHeads * IndexSize);
                draft.Matrix($"blk.{i}.indexer.k_proj.weight", shape.Embedding, IndexSize);
                draft.Norm($"blk.{i}.indexer.q_norm.weight", IndexSize);
                draft.Norm($"blk.{i}.indexer.k_norm.weight", IndexSize);
                draft.Experts(i, Experts, Width);
            }
        }

        return draft.File;
    }

    public static GgufWriter GlmDsa()
    {
        // llama.cpp splits the indexer's vectors in two halves of the size that RoPE turns.
        const int QueryRank = 48, Rank = 64, Rope = 32, Plain = 32, Value = 32, IndexHeads = 2, IndexSize = 2 * Rope;
        int[] hasIndexer = [1, 0, 1, 0];
        var shape = new TinyShape("glm-dsa", Layers: hasIndexer.Length, Heads: 4, KvHeads: 1, HeadSize: Rank + Rope, Embedding: 128)
        {
            ValueSize = Rank,
            RopeSize = Rope,
        };
        var draft = new TinyDraft(shape);
        draft.File.Add("glm-dsa.leading_dense_block_count", (uint)shape.Layers);
        draft.File.Add("glm-dsa.attention.q_lora_rank", (uint)QueryRank);
        draft.File.Add("glm-dsa.attention.kv_lora_rank", (uint)Rank);
        draft.File.Add("glm-dsa.attention.key_length_mla", (uint)(Plain + Rope));
        draft.File.Add("glm-dsa.attention.value_length_mla", (uint)Value);
        draft.File.Add("glm-dsa.attention.indexer.head_count", (uint)IndexHeads);
        draft.File.Add("glm-dsa.attention.indexer.key_length", (uint)IndexSize);
        draft.File.Add("glm-dsa.attention.indexer.top_k", 48u);
        draft.File.Add("glm-dsa.attention.indexer.types", hasIndexer);
        draft.File.Add("glm-dsa.expert_count", 4u);
        draft.File.Add("glm-dsa.expert_used_count", 2u);
        draft.File.Add("glm-dsa.expert_feed_forward_length", 64u);
        draft.File.Add("glm-dsa.expert_shared_count", 1u);
        for (int i = 0; i < shape.Layers; i++)
        {
            draft.Norm($"blk.{i}.attn_norm.weight", shape.Embedding);
            draft.Norm($"blk.{i}.attn_q_a_norm.weight", QueryRank);
            draft.Norm($"blk.{i}.attn_kv_a_norm.weight", Rank);
            draft.Matrix($"blk.{i}.attn_q_a.weight", shape.Embedding, QueryRank);
            draft.Matrix($"blk.{i}.attn_q_b.weight", QueryRank, shape.Heads * (Plain + Rope));
            draft.Matrix($"blk.{i}.attn_kv_a_mqa.weight", shape.Embedding, Rank + Rope);
            draft.Matrix($"blk.{i}.attn_k_b.weight", Plain, Rank, shape.Heads);
            draft.Matrix($"blk.{i}.attn_v_b.weight", Rank, Value, shape.Heads);
            draft.Matrix($"blk.{i}.attn_output.weight", shape.Heads * Value, shape.Embedding);
            draft.FeedForward(i);
            if (hasIndexer[i] != 0)
            {
                draft.Biased($"blk.{i}.indexer.k_norm", IndexSize);
                draft.Matrix($"blk.{i}.indexer.proj.weight", shape.Embedding, IndexHeads);
                draft.Matrix($"blk.{i}.indexer.attn_k.weight", shape.Embedding, IndexSize);
                draft.Matrix($"blk.{i}.indexer.attn_q_b.weight", QueryRank, IndexHeads * IndexSize);
            }
        }

        return draft.File;
    }

    private static void AddExperts(TinyDraft draft, string architecture, int experts, int width)
    {
        draft.File.Add($"{architecture}.leading_dense_block_count", 1u);
        draft.File.Add($"{architecture}.expert_count", (uint)experts);
        draft.File.Add($"{architecture}.expert_used_count", 2u);
        draft.File.Add($"{architecture}.expert_shared_count", 1u);
        draft.File.Add($"{architecture}.expert_feed_forward_length", (uint)width);
        draft.File.Add($"{architecture}.expert_gating_func", Sigmoid);
        draft.File.Add($"{architecture}.expert_weights_norm", true);
        draft.File.Add($"{architecture}.expert_weights_scale", 1.5f);
    }
}
