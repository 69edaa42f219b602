using System.Globalization;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Policies.Allocators;

/// <summary>How much every KV head of a model needs its distant rows, as DuoAttention (arXiv 2410.10819) learns it. Immutable; compares by value.</summary>
public sealed class DuoAttentionGates : IEquatable<DuoAttentionGates>
{
    // The array of a profile's table.
    internal const string Gates = "gates";

    private readonly double[] _gates;

    /// <summary>Copies and checks gates.</summary>
    /// <param name="gates">Those of every layer's KV heads, finite; values below 0 and above 1 count as 0 and 1.</param>
    /// <exception cref="ArgumentException">There is no layer, a layer has no gate, or a gate is not a finite number.</exception>
    public DuoAttentionGates(IEnumerable<IEnumerable<double>> gates)
    {
        ArgumentNullException.ThrowIfNull(gates);
        double[][] layers = [.. gates.Select(layer => layer.ToArray())];
        if (layers.Length == 0 || layers.Any(layer => layer.Length == 0))
        {
            throw new ArgumentException("Gates are a table: a row for each layer, with a gate for each of its KV heads.", nameof(gates));
        }

        KvHeads = new HeadLayout(layers.Select(layer => layer.Length));
        _gates = [.. layers.SelectMany(layer => layer)];
        if (Array.FindIndex(_gates, gate => !double.IsFinite(gate)) is >= 0 and int broken)
        {
            (int layer, int head) = KvHeads.At(broken);
            throw new ArgumentException($"The gate of layer {layer}, KV head {head} is {_gates[broken]}: not a finite number.", nameof(gates));
        }

        for (int i = 0; i < _gates.Length; i++)
        {
            _gates[i] = Math.Clamp(_gates[i], 0, 1);
        }
    }

    /// <summary>Layers, 1 and up.</summary>
    public int Layers => KvHeads.Layers;

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>All gates, 0 to 1, layer after layer.</summary>
    public ReadOnlySpan<double> Values => _gates;

    /// <summary>
    /// Reads a file of the authors' (full_attention_heads.tsv): a line for each layer, a number for each of its KV heads, with tabs or blanks between
    /// them. Empty lines are skipped.
    /// </summary>
    /// <param name="file">Its path.</param>
    /// <exception cref="ProfileException">The file cannot be read or is no such table; the message names the line.</exception>
    public static DuoAttentionGates Load(string file)
    {
        ArgumentNullException.ThrowIfNull(file);
        List<double[]> layers = [];
        int number = 0;
        try
        {
            using StreamReader reader = new(InputFile.Open(file));
            while (reader.ReadLine() is { } line)
            {
                number++;
                string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
                if (words.Length > 0)
                {
                    layers.Add([.. words.Select(word => Gate(word, file, number))]);
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ProfileException($"{file}: the gates cannot be read: {e.Message.TrimEnd('.')}; name a file of the authors' form.", e);
        }

        return layers.Count > 0
            ? new DuoAttentionGates(layers)
            : throw new ProfileException($"{file} has no gates: it needs a line for each layer, with a number for each KV head.");
    }

    /// <summary>The gates that a profile's table holds.</summary>
    /// <param name="table">A gate for each KV head.</param>
    /// <exception cref="ProfileException">It is no such table.</exception>
    internal static DuoAttentionGates Of(ProfileTable table)
    {
        (HeadLayout kvHeads, ReadOnlyMemory<float> gates) = table.ByHead(Gates);
        return new DuoAttentionGates(Enumerable.Range(0, kvHeads.Layers).Select(
            layer => gates.Slice(kvHeads.First(layer), kvHeads[layer]).ToArray().Select(gate => (double)gate)));
    }

    /// <inheritdoc/>
    public bool Equals(DuoAttentionGates? other) =>
        other is not null && KvHeads.Equals(other.KvHeads) && _gates.AsSpan().SequenceEqual(other._gates);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as DuoAttentionGates);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(KvHeads);
        foreach (double gate in _gates)
        {
            hash.Add(gate);
        }

        return hash.ToHashCode();
    }

    /// <summary>For example "gates of 32 layers x 8 KV heads".</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"gates of {KvHeads} KV heads");

    private static double Gate(string word, string file, int line) =>
        double.TryParse(word, NumberStyles.Float, CultureInfo.InvariantCulture, out double gate) && double.IsFinite(gate)
            ? gate
            : throw new ProfileException($"{file}, line {line}: '{word}' is no gate. A gate is a finite number, 0 to 1.");
}
