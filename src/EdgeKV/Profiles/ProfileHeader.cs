using System.Text.Json.Serialization;

namespace EdgeKV.Profiles;

/// <summary>The readable part of a profile.</summary>
/// <param name="Model">Fingerprint of the model.</param>
/// <param name="Layers">Layers.</param>
/// <param name="EmbeddingSize">Elements of the attention's input.</param>
/// <param name="KvHeads">KV heads of a layer; 0 where layers differ, so that versions that know no such models refuse the file.</param>
/// <param name="Weights">SHA-256 of the weights.</param>
/// <param name="Provenance">Where it comes from.</param>
/// <param name="Thresholds">Scores by name; null in files from before there were any.</param>
/// <param name="KvHeadsByLayer">KV heads of each layer, where layers differ; null: all have <paramref name="KvHeads"/>.</param>
/// <param name="Tables">What policies have to know about the model, by name; null: no tables.</param>
internal sealed record ProfileHeader(
    string Model,
    int Layers,
    int EmbeddingSize,
    int KvHeads,
    string Weights,
    Dictionary<string, string> Provenance,
    Dictionary<string, double>? Thresholds = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] List<int>? KvHeadsByLayer = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] SortedDictionary<string, ProfileTableHeader>? Tables = null);

/// <summary>The readable part of a table.</summary>
/// <param name="Values">SHA-256 of the numbers.</param>
/// <param name="Arrays">What the numbers are, in their order.</param>
/// <param name="Provenance">Where they come from.</param>
internal sealed record ProfileTableHeader(string Values, List<ProfileArrayHeader> Arrays, Dictionary<string, string> Provenance);

/// <summary>One array of a table.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Shape">Length of each dimension.</param>
internal sealed record ProfileArrayHeader(string Name, List<int> Shape);

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(ProfileHeader))]
internal sealed partial class ProfileJson : JsonSerializerContext;
