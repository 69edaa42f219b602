namespace EdgeKV.Tests.Policies;

/// <summary>Sizes of a model for tests.</summary>
/// <param name="Layers">Layers.</param>
/// <param name="Heads">Attention heads of a layer.</param>
/// <param name="KvHeads">KV heads of a layer.</param>
internal readonly record struct ModelSizes(int Layers, int Heads, int KvHeads)
{
    /// <summary>1 to 4 layers, 1 to 3 KV heads, 1 to 3 attention heads each.</summary>
    public static ModelSizes Random(Random random)
    {
        int layers = random.Next(1, 5);
        int kvHeads = random.Next(1, 4);
        return new ModelSizes(layers, kvHeads * random.Next(1, 4), kvHeads);
    }
}
