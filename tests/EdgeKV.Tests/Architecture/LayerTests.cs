using EdgeKV.Policies;

namespace EdgeKV.Tests.Architecture;

/// <summary>Every folder of src/EdgeKV is a namespace and uses only the folders before it.</summary>
public class LayerTests
{
    private const string Root = "EdgeKV";

    // The exceptions of Errors/ and EdgeKVRuntime are in the root namespace, so that catching one takes no using of its own.
    private const string Errors = "";

    /// <summary>The folders, as namespaces below <see cref="Root"/>. Each may use those before it.</summary>
    private static readonly string[] Order =
    [
        Errors,
        "Files",
        "Numerics",
        "Models.Chat",
        "Models",
        "Profiles",
        "Scoring",
        "Planning",
        "Policies",
        "Policies.Selection",
        "Policies.Scorers",
        "Policies.Allocators",
        "Policies.Configuration",
        "Engine",
        "Compression",
        "Reading",
        "Generation",
        "Sessions",
        "Calibration",
    ];

    /// <summary>Folders that work on numbers alone: they call nothing native.</summary>
    private static readonly string[] Managed =
    [
        "Files",
        "Numerics",
        "Profiles",
        "Planning",
        "Policies",
        "Policies.Selection",
        "Policies.Scorers",
        "Policies.Allocators",
        "Policies.Configuration",
    ];

    private static readonly Layers Layers = new(typeof(ICompressionPolicy).Assembly, Root, "src/EdgeKV", Order);

    [Fact]
    public void Uses_EveryType_GoOnlyToFoldersBefore() => Assert.Empty(Layers.Upward());

    [Fact]
    public void Uses_ManagedFolders_CallNothingNative() =>
        Assert.Empty(Layers.Own().Where(type => Managed.Contains(Layers.Folder(type))).SelectMany(Native));

    [Fact]
    public void Namespaces_EveryType_AreInTheOrder() => Assert.Empty(Layers.Unplaced());

    [Fact]
    public void Namespaces_EveryFile_IsItsFolder() => Assert.Empty(Layers.Misplaced(inRoot: "Errors"));

    private static IEnumerable<string> Native(Type type) => TypeUses.Of(type)
        .Where(used => used.Namespace == $"{Root}.Native" || used.Namespace?.StartsWith("LLama", StringComparison.Ordinal) == true)
        .Select(used => $"{type.FullName} uses {used.FullName}");
}
