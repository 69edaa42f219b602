using EdgeKV.Models;

namespace EdgeKV.Profiles;

/// <summary>
/// What one policy has to know about one model, found once by calibration: arrays of numbers by name, and where they come from. Part of a
/// <see cref="ScoreProfile"/>. Immutable.
/// </summary>
public sealed class ProfileTable
{
    private const int MostArrays = 16;
    private const long MostElements = 1 << 26;

    // The array that says how many heads each layer has, in tables of models whose layers differ. No scorer and no other array has this name.
    private const string HeadsByLayer = "heads by layer";

    private readonly ProfileArray[] _arrays;

    /// <summary>A table that was found.</summary>
    /// <param name="name">The name of the policy that needs it.</param>
    /// <param name="arrays">The numbers; not copied.</param>
    /// <param name="provenance">Where they come from, in words.</param>
    /// <exception cref="ArgumentException">
    /// There is no name, an array has none or shares one, its numbers do not fit its shape, or one is not finite.
    /// </exception>
    public ProfileTable(string name, IEnumerable<ProfileArray> arrays, IReadOnlyDictionary<string, string> provenance)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(arrays);
        ArgumentNullException.ThrowIfNull(provenance);
        Name = name;
        _arrays = [.. arrays];
        Provenance = new Dictionary<string, string>(provenance);
        if (WrongShapes(_arrays.Select(array => (array.Name, array.Shape))) is { } wrong)
        {
            throw new ArgumentException($"A table cannot hold these arrays: {wrong}.", nameof(arrays));
        }

        foreach (ProfileArray array in _arrays)
        {
            if (array.Values.Length != Elements(array.Shape))
            {
                throw new ArgumentException(
                    $"'{array.Name}' is [{string.Join(", ", array.Shape)}] and has {array.Values.Length} numbers.", nameof(arrays));
            }

            foreach (float value in array.Values.Span)
            {
                if (!float.IsFinite(value))
                {
                    throw new ArgumentException($"'{array.Name}' has {value}: not a finite number.", nameof(arrays));
                }
            }
        }
    }

    /// <summary>The name of the policy that needs it.</summary>
    public string Name { get; }

    /// <summary>The numbers.</summary>
    public IReadOnlyList<ProfileArray> Arrays => _arrays;

    /// <summary>Where they come from: prompts or texts, options, quality, in words.</summary>
    public IReadOnlyDictionary<string, string> Provenance { get; }

    /// <summary>An array by name.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="dimensions">How many dimensions it has.</param>
    /// <exception cref="ProfileException">The table has no such array: it was made by another version.</exception>
    internal ProfileArray Array(string name, int dimensions) =>
        System.Array.Find(_arrays, array => array.Name == name && array.Shape.Count == dimensions)
        ?? throw new ProfileException(
            $"The profile's table {Name} has no '{name}' of {dimensions} dimensions: it was made by another version. Make it anew with `edgekv calibrate MODEL --for {Name}`.");

    /// <summary>A table of numbers by head: [layers, heads] where layers have equally many, else by head, with an array that says how many each layer has.</summary>
    /// <param name="name">The name of the policy that needs it.</param>
    /// <param name="heads">The heads of each layer, attention heads or KV heads.</param>
    /// <param name="arrays">Arrays by head, and their names.</param>
    /// <param name="others">Further arrays.</param>
    /// <param name="provenance">Where they come from, in words.</param>
    /// <param name="before">Dimensions before those of layers and heads.</param>
    /// <param name="after">Dimensions after them.</param>
    internal static ProfileTable OfHeads(
        string name,
        HeadLayout heads,
        IEnumerable<(string Name, ReadOnlyMemory<float> Values)> arrays,
        IEnumerable<ProfileArray> others,
        IReadOnlyDictionary<string, string> provenance,
        IReadOnlyList<int>? before = null,
        IReadOnlyList<int>? after = null)
    {
        int[] shape = [.. before ?? [], .. heads.IsUniform ? [heads.Layers, heads[0]] : (int[])[heads.Total], .. after ?? []];
        IEnumerable<ProfileArray> all = arrays.Select(array => new ProfileArray(array.Name, shape, array.Values)).Concat(others);
        float[] counts = [.. Enumerable.Range(0, heads.Layers).Select(layer => (float)heads[layer])];
        return new ProfileTable(name, heads.IsUniform ? all : all.Append(new ProfileArray(HeadsByLayer, [heads.Layers], counts)), provenance);
    }

    /// <summary>Whether an array holds numbers of heads, or says how many there are.</summary>
    internal static bool IsOfHeads(ProfileArray array) => array.Name != HeadsByLayer;

    /// <summary>Numbers by head, layer after layer, and the heads of each layer.</summary>
    /// <param name="name">The array's name.</param>
    /// <param name="before">Dimensions before those of layers and heads.</param>
    /// <param name="after">Dimensions after them.</param>
    /// <exception cref="ProfileException">The table has no such array: it was made by another version.</exception>
    internal (HeadLayout Heads, ReadOnlyMemory<float> Values) ByHead(string name, int before = 0, int after = 0)
    {
        if (System.Array.Find(_arrays, array => array.Name == HeadsByLayer && array.Shape.Count == 1) is not { } counts)
        {
            ProfileArray alike = Array(name, before + 2 + after);
            return (HeadLayout.Uniform(alike.Shape[before], alike.Shape[before + 1]), alike.Values);
        }

        ProfileArray flat = Array(name, before + 1 + after);
        int[] heads = [.. counts.Values.ToArray().Select(count => count is >= 1 and <= MostElements ? (int)count : 0)];
        return System.Array.TrueForAll(heads, count => count > 0) && heads.Sum(count => (long)count) == flat.Shape[before]
            ? (new HeadLayout(heads), flat.Values)
            : throw new ProfileException($"The profile's table {Name} has '{name}' of {flat.Shape[before]} heads, and its layers have others. Make it anew with `edgekv calibrate MODEL --for {Name}`.");
    }

    /// <summary>What is wrong with the shapes of a table's arrays; null: nothing.</summary>
    internal static string? WrongShapes(IEnumerable<(string Name, IReadOnlyList<int> Shape)> arrays)
    {
        HashSet<string> names = [];
        long elements = 0;
        foreach ((string name, IReadOnlyList<int> shape) in arrays)
        {
            if (string.IsNullOrWhiteSpace(name) || !names.Add(name))
            {
                return "an array has no name of its own";
            }

            if (shape.Count is < 1 or > 4 || shape.Any(length => length < 1) || (elements += Elements(shape)) > MostElements || names.Count > MostArrays)
            {
                return $"the size of '{name}' makes no sense";
            }
        }

        return names.Count == 0 ? "there are none" : null;
    }

    /// <summary>Numbers of a shape; more than any table may have where there are too many to count.</summary>
    internal static long Elements(IEnumerable<int> shape) => shape.Aggregate(1L, (product, length) => Math.Min(product * length, MostElements + 1));
}
