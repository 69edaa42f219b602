using System.Text.Json.Serialization;

namespace EdgeKV.Engine;

/// <summary>What a saved context says about itself before its bytes.</summary>
/// <param name="Model">The model's fingerprint; empty when the model was not loaded from one file.</param>
/// <param name="KvHeads">KV heads of all layers.</param>
/// <param name="RowBytes">Bytes of one KV head's key and value of one token in the first layer.</param>
/// <param name="TypeK">The ggml_type of keys.</param>
/// <param name="TypeV">The ggml_type of values.</param>
/// <param name="Position">Tokens that the context holds.</param>
/// <param name="Compact">Whether the cache is compact.</param>
/// <param name="Rerotated">Positions, from 0 on, that rows were given in place of those that they had; 0: none were.</param>
/// <param name="Fed">Tokens that had been fed when rows were given other positions.</param>
/// <param name="LearnedRuns">Stretches of positions with learned scores: first position and count of each, ascending.</param>
/// <param name="StateBytes">Bytes of llama.cpp's own state.</param>
internal sealed record StateHeader(string Model, int KvHeads, long RowBytes, long TypeK, long TypeV, int Position, bool Compact, int Rerotated, int Fed, int[][] LearnedRuns, long StateBytes);

[JsonSourceGenerationOptions(AllowDuplicateProperties = false)]
[JsonSerializable(typeof(StateHeader))]
internal sealed partial class StateJson : JsonSerializerContext;
