using System.Reflection;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Policies;

namespace EdgeKV.Tests.Architecture;

/// <summary>Every folder of src/EdgeKV is a namespace and uses only the folders before it.</summary>
public class LayerTests
{
    private const string Root = "EdgeKV";

    // The exceptions of Errors/ and EdgeKVRuntime are in the root namespace, so that catching one takes no using of its own.
    private const string Errors = "";

    private static readonly Assembly Library = typeof(ICompressionPolicy).Assembly;

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

    [Fact]
    public void Uses_EveryType_GoOnlyToFoldersBefore() =>
        Assert.Empty(Own().SelectMany(Upward));

    [Fact]
    public void Uses_ManagedFolders_CallNothingNative() =>
        Assert.Empty(Own().Where(type => Managed.Contains(Folder(type))).SelectMany(Native));

    [Fact]
    public void Namespaces_EveryType_AreInTheOrder() =>
        Assert.Empty(Own().Select(Folder).Except(Order));

    [Fact]
    public void Namespaces_EveryFile_IsItsFolder()
    {
        string root = Path.Combine(Places.Checkout, "src", "EdgeKV");
        IEnumerable<string> wrong =
            from file in Directory.GetFiles(root, "*.cs", SearchOption.AllDirectories)
            let folder = Path.GetRelativePath(root, Path.GetDirectoryName(file)!).Replace(Path.DirectorySeparatorChar, '.')

            // What lies in build/ is compiled into programs, not into the library.
            where folder != "build"
            where !File.ReadLines(file).Contains(folder is "." or "Errors" ? $"namespace {Root};" : $"namespace {Root}.{folder};")
            select Path.GetRelativePath(root, file);

        Assert.Empty(wrong);
    }

    // Types that the compiler makes for itself have another namespace or none.
    private static IEnumerable<Type> Own() => Library.GetTypes().Where(
        type => !type.IsNested && (type.Namespace == Root || type.Namespace?.StartsWith($"{Root}.", StringComparison.Ordinal) == true));

    private static IEnumerable<string> Upward(Type type) => TypeUses.Of(type)
        .Where(used => used.Assembly == Library && Place(used) > Place(type))
        .Select(used => $"{type.FullName} uses {used.FullName}");

    private static IEnumerable<string> Native(Type type) => TypeUses.Of(type)
        .Where(used => used.Namespace == $"{Root}.Native" || used.Namespace?.StartsWith("LLama", StringComparison.Ordinal) == true)
        .Select(used => $"{type.FullName} uses {used.FullName}");

    private static int Place(Type type) => Array.IndexOf(Order, Folder(type));

    private static string Folder(Type type) =>
        type.Namespace?.StartsWith($"{Root}.", StringComparison.Ordinal) == true ? type.Namespace[(Root.Length + 1)..] : string.Empty;
}
