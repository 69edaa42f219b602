using System.Reflection;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Tests.Architecture;

/// <summary>The folders of a project as namespaces, and which of them may use which.</summary>
/// <param name="library">The compiled project.</param>
/// <param name="root">Its root namespace.</param>
/// <param name="folder">Its folder in the checkout.</param>
/// <param name="order">The namespaces below the root, an empty one for the root itself. Each may use those before it.</param>
internal sealed class Layers(Assembly library, string root, string folder, string[] order)
{
    /// <summary>Types that use a namespace that comes after theirs.</summary>
    public IEnumerable<string> Upward() => Own().SelectMany(Upward);

    /// <summary>Namespaces that have no place in the order.</summary>
    public IEnumerable<string> Unplaced() => Own().Select(Folder).Except(order);

    /// <summary>Files whose namespace is not that of their folder.</summary>
    /// <param name="inRoot">Folders whose types are in the root namespace.</param>
    public IEnumerable<string> Misplaced(params string[] inRoot)
    {
        string path = Path.Combine([Places.Checkout, .. folder.Split('/')]);
        return from file in Directory.GetFiles(path, "*.cs", SearchOption.AllDirectories)
               let place = Path.GetRelativePath(path, Path.GetDirectoryName(file)!).Replace(Path.DirectorySeparatorChar, '.')

               // What lies in build/ is compiled into programs, not into the library.
               where place != "build"
               where !File.ReadLines(file).Contains(place == "." || inRoot.Contains(place) ? $"namespace {root};" : $"namespace {root}.{place};")
               select Path.GetRelativePath(path, file);
    }

    /// <summary>The project's types, without those that the compiler makes for itself, which have another namespace or none.</summary>
    public IEnumerable<Type> Own() => library.GetTypes().Where(IsOwn);

    /// <summary>A type's namespace below the root.</summary>
    public string Folder(Type type) =>
        type.Namespace?.StartsWith($"{root}.", StringComparison.Ordinal) == true ? type.Namespace[(root.Length + 1)..] : string.Empty;

    private IEnumerable<string> Upward(Type type) => TypeUses.Of(type)
        .Where(used => used.Assembly == library && IsOwn(used) && Place(used) > Place(type))
        .Select(used => $"{type.FullName} uses {used.FullName}");

    private bool IsOwn(Type type) =>
        !type.IsNested && (type.Namespace == root || type.Namespace?.StartsWith($"{root}.", StringComparison.Ordinal) == true);

    private int Place(Type type) => Array.IndexOf(order, Folder(type));
}
