using EdgeKV.Models;

namespace EdgeKV.Tests.Policies;

/// <summary>Geometries of models for tests.</summary>
internal static class RandomGeometry
{
    /// <summary>1 to 4 layers, 1 to 3 KV heads, 1 to 3 attention heads each; in half of the models every layer has its own.</summary>
    public static CacheGeometry Of(Random random)
    {
        int layers = random.Next(1, 5);
        bool alike = random.Next(2) == 0;
        AttentionLayer one = Layer(0);
        return new CacheGeometry(Enumerable.Range(0, layers).Select(layer => alike ? one with { ModelLayer = layer } : Layer(layer)));

        AttentionLayer Layer(int layer)
        {
            int kvHeads = random.Next(1, 4);
            return new AttentionLayer(layer, kvHeads * random.Next(1, 4), kvHeads, HeadSizeK: 1, HeadSizeV: 1);
        }
    }
}
