using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.ModelTests;

/// <summary>What the compact cache takes, and what it gives back.</summary>
public sealed class MemoryTests
{
    private const int Context = 1000;

    public static TheoryData<KvCacheType, bool> Kinds => new()
    {
        { KvCacheType.F16, false },
        { KvCacheType.F16, true },
        { KvCacheType.Q8_0, false },
        { KvCacheType.Q8_0, true },
        { KvCacheType.Q4_0, false },
        { KvCacheType.Q4_0, true },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Bytes_AfterAPlan_AreRowsAndRoom(KvCacheType type, bool ragged)
    {
        Memory memory = Of(type, ragged);
        Assert.Equal(memory.Expected, memory.Reported);
        Assert.True(memory.Reported < memory.Before);
    }

    [Fact]
    public void ResidentMemory_AfterAPlan_Falls()
    {
        // A large cache that is filled in part only would hide what is given back, so this one is filled.
        int[] tokens = TinyModels.RandomTokens(4000, 3);
        EngineOptions options = new(TinyModels.PathOf(TinyModel.LlamaUngrouped)) { ContextSize = 4096, Type = KvCacheType.F32 };
        Memory memory = Memory.Of(options, tokens, e => Plans.AtRatio(e.Geometry.KvHeads, tokens.Length, 0.8, ragged: false, 1));
        Assert.Equal(memory.Expected, memory.Reported);
        Assert.True(memory.DropShare >= 0.9, $"Resident memory fell by {memory.DropShare:F3} of what the cache gave back.");
    }

    private static Memory Of(KvCacheType type, bool ragged)
    {
        int[] tokens = TinyModels.RandomTokens(Context, 3);
        EngineOptions options = new(TinyModels.PathOf(TinyModel.LlamaGrouped)) { ContextSize = 1280, Type = type };
        return Memory.Of(options, tokens, e => ragged
            ? Plans.Ragged(e.Geometry.KvHeads, Context, 2)
            : Plans.Composite(e.Geometry.KvHeads, Context, 2));
    }
}
