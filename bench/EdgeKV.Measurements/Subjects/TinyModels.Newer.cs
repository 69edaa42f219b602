namespace EdgeKV.Measurements.Subjects;

/// <content>Architectures that came to llama.cpp after b10068 and are carried as patches.</content>
public static partial class TinyModels
{
    private const uint Sigmoid = 2;

    private static GgufWriter Laguna()
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

    private static GgufWriter Nanbeige()
    {
        GgufWriter file = Dense(new("nanbeige", Layers: 2, Heads: 4, KvHeads: 2, HeadSize: 64, Embedding: 256));
        file.Add("nanbeige.num_loops", 2u);
        return file;
    }

    private static GgufWriter MiniMaxM3()
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

    private static GgufWriter GlmDsa()
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
