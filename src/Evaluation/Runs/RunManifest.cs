using System.Text.Json.Serialization;

namespace EdgeKV.Evaluation;

/// <summary>Everything that is needed to repeat a run: run.json beside its results.</summary>
public sealed record RunManifest
{
    /// <summary>Of the layout of run.json and results.jsonl.</summary>
    public const int CurrentVersion = 1;

    /// <summary><see cref="CurrentVersion"/> when it was written.</summary>
    public required int Version { get; init; }

    /// <summary>EdgeKV's version.</summary>
    public required string EdgeKV { get; init; }

    /// <summary>llama.cpp's tag.</summary>
    public required string LlamaCpp { get; init; }

    /// <summary>The model's file name.</summary>
    public required string Model { get; init; }

    /// <summary>What llama.cpp calls it.</summary>
    public required string ModelDescription { get; init; }

    /// <summary>SHA-256 of the model file, in hexadecimal.</summary>
    public required string ModelSha256 { get; init; }

    /// <summary>Layers that keep rows in the cache.</summary>
    public required int Layers { get; init; }

    /// <summary>KV heads of a layer, the most of one where layers differ.</summary>
    public required int KvHeads { get; init; }

    /// <summary>KV heads of each layer, where layers differ; null: all have <see cref="KvHeads"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<int>? KvHeadsByLayer { get; init; }

    /// <summary>SHA-256 of the profile of learned scores; null: there was none.</summary>
    public string? ProfileSha256 { get; init; }

    /// <summary>SHA-256 of what the data sets ask, by <see cref="Datasets.Sha256"/>; null: the run is older than this field.</summary>
    public string? DataSha256 { get; init; }

    /// <summary>Cache type.</summary>
    public required string CacheType { get; init; }

    /// <summary>Threads of the engine.</summary>
    public required int Threads { get; init; }

    /// <summary>Data sets as they were named, in their order.</summary>
    public required IReadOnlyList<string> Datasets { get; init; }

    /// <summary>Policies with their options.</summary>
    public required IReadOnlyList<string> Policies { get; init; }

    /// <summary>Ratios; empty where rows were given.</summary>
    public required IReadOnlyList<double> Ratios { get; init; }

    /// <summary>Rows per layer and KV head; empty where ratios were given.</summary>
    public required IReadOnlyList<int> Rows { get; init; }

    /// <summary>The most samples of a task.</summary>
    public required int Samples { get; init; }

    /// <summary>Which samples were drawn, and what was generated.</summary>
    public required int Seed { get; init; }

    /// <summary>Whether policies saw the question when they scored.</summary>
    public required bool QueryAware { get; init; }

    /// <summary>Whether the values of removed rows went into kept ones.</summary>
    public bool Merge { get; init; }

    /// <summary>The command, as a person would type it again.</summary>
    public required string Command { get; init; }

    /// <summary>Processor and cores.</summary>
    public required string Machine { get; init; }

    /// <summary>When it was begun, in UTC.</summary>
    public required DateTimeOffset Started { get; init; }
}
