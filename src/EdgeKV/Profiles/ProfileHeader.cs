using System.Text.Json.Serialization;

namespace EdgeKV;

/// <summary>The readable part of a profile.</summary>
/// <param name="Model">Fingerprint of the model.</param>
/// <param name="Layers">Layers.</param>
/// <param name="EmbeddingSize">Elements of the attention's input.</param>
/// <param name="KvHeads">KV heads of a layer.</param>
/// <param name="Weights">SHA-256 of the weights.</param>
/// <param name="Provenance">Where it comes from.</param>
/// <param name="Thresholds">Scores by name; null in files from before there were any.</param>
internal sealed record ProfileHeader(
    string Model,
    int Layers,
    int EmbeddingSize,
    int KvHeads,
    string Weights,
    Dictionary<string, string> Provenance,
    Dictionary<string, double>? Thresholds = null);

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(ProfileHeader))]
internal sealed partial class ProfileJson : JsonSerializerContext;
