namespace EdgeKV.Models;

/// <summary>A layer of the model that keeps rows in the KV cache.</summary>
/// <param name="ModelLayer">Its index among all layers of the model, 0 and up.</param>
/// <param name="Heads">Attention heads, a multiple of <paramref name="KvHeads"/>.</param>
/// <param name="KvHeads">KV heads, 1 and up.</param>
/// <param name="HeadSizeK">Elements of a key of one KV head.</param>
/// <param name="HeadSizeV">Elements of a value of one KV head.</param>
public readonly record struct AttentionLayer(int ModelLayer, int Heads, int KvHeads, int HeadSizeK, int HeadSizeV);
