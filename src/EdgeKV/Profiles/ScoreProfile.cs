using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using EdgeKV.Files;
using EdgeKV.Models;

namespace EdgeKV.Profiles;

/// <summary>
/// What was learned about one model: a linear map per layer, y = W_l x + b_l, from the input of its attention to the natural logarithm of the
/// attention that a repeat pass would give, per KV head (policies of learned scores; KVzap, arXiv 2601.07891, with another teacher).
/// Bound to the model file it was made for. Tables that policies need go with it.
/// </summary>
/// <remarks>
/// A file is one line that says what it is, a JSON object that a person can read, a zero byte, and the weights as little-endian float32,
/// [layers][embedding + 1][KV heads of the layer] with the bias last; in version 2 the numbers of the tables follow, in the order of their names. Without tables
/// version 1 is written, which is what there was before tables.
/// </remarks>
public sealed class ScoreProfile
{
    /// <summary>What a profile's file name ends with.</summary>
    public const string Extension = ".edgekv";

    private const string Magic = "EDGEKV-PROFILE ";
    private const string FirstLine = Magic + "1\n";
    private const string FirstLineWithTables = Magic + "2\n";
    private const int LongestHeader = 1 << 20;

    // 2 GiB of them, ten times as many as the largest models need.
    private const long MostWeights = 1L << 29;
    private const string Remedy = "Make one with `edgekv calibrate`, or take it away.";

    private ScoreProfile(ProfileHeader header, ReadOnlyMemory<float> weights, IReadOnlyDictionary<string, ProfileTable> tables, string? path)
    {
        Header = header;
        Weights = weights;
        Tables = tables;
        Path = path;
        Thresholds = header.Thresholds ?? [];
        KvHeads = header.KvHeadsByLayer is { } heads ? new HeadLayout(heads) : HeadLayout.Uniform(header.Layers, header.KvHeads);
    }

    /// <summary>The file that it was read from; null for one that was made here.</summary>
    public string? Path { get; }

    /// <summary>Layers of the model that keep rows in the cache.</summary>
    public int Layers => Header.Layers;

    /// <summary>Elements of the attention's input.</summary>
    public int EmbeddingSize => Header.EmbeddingSize;

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>The <see cref="EdgeModel.Fingerprint"/> of the model it was made for.</summary>
    public string Model => Header.Model;

    /// <summary>Where it comes from: texts, tokens, options, quality, in words.</summary>
    public IReadOnlyDictionary<string, string> Provenance => Header.Provenance;

    /// <summary>
    /// Learned scores by name, any finite numbers: what <c>GlobalRanking.Limit</c> takes for the quality of that name. Often
    /// empty.
    /// </summary>
    public IReadOnlyDictionary<string, double> Thresholds { get; }

    /// <summary>[layers][embedding + 1][KV heads of the layer], the bias last.</summary>
    public ReadOnlyMemory<float> Weights { get; }

    /// <summary>What policies have to know about the model, by the policy's name; in the order of the names.</summary>
    public IReadOnlyDictionary<string, ProfileTable> Tables { get; }

    private ProfileHeader Header { get; }

    /// <summary>A profile of weights that were made elsewhere.</summary>
    /// <param name="model">The model that they are for.</param>
    /// <param name="weights">[layers][embedding + 1][KV heads of the layer], the bias last; copied.</param>
    /// <param name="provenance">Where they come from.</param>
    /// <param name="thresholds">Scores by name, see <see cref="Thresholds"/>; null for none.</param>
    /// <exception cref="ArgumentException">
    /// Not as many weights as the model needs, a weight or a threshold is not a finite number, or a threshold has no name.
    /// </exception>
    public static ScoreProfile Of(
        EdgeModel model,
        ReadOnlySpan<float> weights,
        IReadOnlyDictionary<string, string> provenance,
        IReadOnlyDictionary<string, double>? thresholds = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(provenance);
        HeadLayout kvHeads = model.Geometry.KvHeads;
        int needed = checked((model.EmbeddingSize + 1) * kvHeads.Total);
        if (weights.Length != needed)
        {
            throw new ArgumentException($"A profile of this model has {needed} weights, {weights.Length} were given.", nameof(weights));
        }

        foreach (float weight in weights)
        {
            if (!float.IsFinite(weight))
            {
                throw new ArgumentException("A weight is not a finite number.", nameof(weights));
            }
        }

        Dictionary<string, double> named = new(thresholds ?? new Dictionary<string, double>());
        if (WrongThreshold(named) is { } wrong)
        {
            throw new ArgumentException($"A profile cannot hold these thresholds: {wrong}.", nameof(thresholds));
        }

        return new ScoreProfile(
            new ProfileHeader(
                model.Fingerprint,
                kvHeads.Layers,
                model.EmbeddingSize,
                kvHeads.IsUniform ? kvHeads[0] : 0,
                Hash(weights),
                new Dictionary<string, string>(provenance),
                named,
                kvHeads.IsUniform ? null : [.. Enumerable.Range(0, kvHeads.Layers).Select(layer => kvHeads[layer])]),
            weights.ToArray(),
            new SortedDictionary<string, ProfileTable>(StringComparer.Ordinal),
            path: null);
    }

    /// <summary>The same learned map with more tables, each in place of one of the same name.</summary>
    /// <param name="tables">The tables.</param>
    public ScoreProfile With(params IEnumerable<ProfileTable> tables)
    {
        ArgumentNullException.ThrowIfNull(tables);
        SortedDictionary<string, ProfileTable> all = new(StringComparer.Ordinal);
        foreach (ProfileTable table in Tables.Values.Concat(tables))
        {
            all[table.Name] = table;
        }

        SortedDictionary<string, ProfileTableHeader> headers = new(StringComparer.Ordinal);
        foreach (ProfileTable table in all.Values)
        {
            headers.Add(
                table.Name,
                new ProfileTableHeader(
                    Hash(Numbers(table)),
                    [.. table.Arrays.Select(array => new ProfileArrayHeader(array.Name, [.. array.Shape]))],
                    new Dictionary<string, string>(table.Provenance)));
        }

        return new ScoreProfile(Header with { Tables = headers.Count > 0 ? headers : null }, Weights, all, path: null);
    }

    /// <summary>Reads a file that <see cref="Save"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="ProfileException">It is missing, damaged, or of another version.</exception>
    public static ScoreProfile Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using FileStream file = InputFile.Open(path);
            byte[] first = new byte[FirstLine.Length];
            if (file.ReadAtLeast(first, first.Length, throwOnEndOfStream: false) < first.Length
                || Encoding.ASCII.GetString(first) is not (FirstLine or FirstLineWithTables))
            {
                throw new ProfileException($"{path} is not an EdgeKV profile of this version. {Remedy}");
            }

            ProfileHeader header = JsonSerializer.Deserialize(ReadHeader(file), ProfileJson.Default.ProfileHeader)
                ?? throw new JsonException("The header is null.");
            if (header.Layers is < 1 or > 4096 || header.EmbeddingSize is < 1 or > 1 << 20 || !HeadsMakeSense(header))
            {
                throw new ProfileException($"{path} is damaged: its sizes make no sense. {Remedy}");
            }

            if (header.Thresholds is { } thresholds && WrongThreshold(thresholds) is { } wrong)
            {
                throw new ProfileException($"{path} is damaged: {wrong}. {Remedy}");
            }

            bool hasTables = Encoding.ASCII.GetString(first) == FirstLineWithTables;
            if (hasTables != header.Tables is { Count: > 0 })
            {
                throw new ProfileException($"{path} is damaged: its version {(hasTables ? "has tables, and there are none" : "has no tables, and there are some")}. {Remedy}");
            }

            foreach ((string name, ProfileTableHeader table) in header.Tables ?? [])
            {
                if (string.IsNullOrWhiteSpace(name) || table?.Arrays.TrueForAll(array => array is not null) != true || ProfileTable.WrongShapes(table.Arrays.Select(array => (array.Name, (IReadOnlyList<int>)array.Shape))) is not null)
                {
                    throw new ProfileException($"{path} is damaged: the sizes of its table '{name}' make no sense. {Remedy}");
                }
            }

            long count = (header.EmbeddingSize + 1L) * (header.KvHeadsByLayer?.Sum() ?? header.Layers * header.KvHeads);
            if (count > MostWeights)
            {
                throw new ProfileException($"{path} is damaged: its sizes make no sense. {Remedy}");
            }

            long bytes = sizeof(float) * (count + (header.Tables ?? []).Values.SelectMany(table => table.Arrays).Sum(array => ProfileTable.Elements(array.Shape)));
            if (file.Length - file.Position != bytes)
            {
                throw new ProfileException($"{path} is damaged: it has {file.Length - file.Position} bytes of numbers rather than {bytes}. {Remedy}");
            }

            float[] weights = ReadNumbers(file, count);
            if (Hash(weights) != header.Weights)
            {
                throw new ProfileException($"{path} is damaged: its weights are not those that were written. {Remedy}");
            }

            SortedDictionary<string, ProfileTable> tables = new(StringComparer.Ordinal);
            foreach ((string name, ProfileTableHeader table) in (header.Tables ?? []).OrderBy(table => table.Key, StringComparer.Ordinal))
            {
                tables.Add(name, ReadTable(file, name, table));
            }

            return new ScoreProfile(header, weights, tables, System.IO.Path.GetFullPath(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ProfileException($"The profile {path} cannot be read: {e.Message.TrimEnd('.')}. {Remedy}", e);
        }
        catch (JsonException e)
        {
            throw new ProfileException($"{path} is damaged: {JsonFault.Of(e)}. {Remedy}", e);
        }
        catch (NotSupportedException e)
        {
            throw new ProfileException($"{path} is damaged: its header cannot be read. {Remedy}", e);
        }

        ProfileTable ReadTable(FileStream file, string name, ProfileTableHeader header)
        {
            ProfileArray[] arrays = [.. header.Arrays.Select(array => new ProfileArray(array.Name, array.Shape, ReadNumbers(file, ProfileTable.Elements(array.Shape))))];
            try
            {
                ProfileTable table = new(name, arrays, header.Provenance);
                return Hash(Numbers(table)) == header.Values
                    ? table
                    : throw new ProfileException($"{path} is damaged: the numbers of its table {name} are not those that were written. {Remedy}");
            }
            catch (ArgumentException e)
            {
                throw new ProfileException($"{path} is damaged: its table {name} has a number that is not finite. {Remedy}", e);
            }
        }
    }

    /// <summary>Whether a file begins as a profile does, whole or damaged.</summary>
    /// <param name="path">The file.</param>
    /// <returns>False too where it cannot be read.</returns>
    public static bool IsProfile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using FileStream file = InputFile.Open(path);
            byte[] first = new byte[Magic.Length];
            return file.ReadAtLeast(first, first.Length, throwOnEndOfStream: false) == first.Length && Encoding.ASCII.GetString(first) == Magic;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Writes a file, whole or not at all (<see cref="OutputFile"/>), and makes its folder where there is none.</summary>
    /// <param name="path">The file; written over.</param>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        OutputFile.MakeFolder(path);
        OutputFile.Write(path, file =>
        {
            file.Write(Encoding.ASCII.GetBytes(Tables.Count > 0 ? FirstLineWithTables : FirstLine));
            JsonSerializer.Serialize(file, Header, ProfileJson.Default.ProfileHeader);
            file.Write("\n\0"u8);
            foreach (float[] numbers in Tables.Values.Select(Numbers).Prepend(Weights.ToArray()))
            {
                FromLittleEndian(numbers);
                file.Write(MemoryMarshal.AsBytes(numbers.AsSpan()));
            }
        });
    }

    /// <summary>Throws when the profile is not for a model.</summary>
    /// <exception cref="ProfileException">It was made for another one.</exception>
    internal void EnsureFits(EdgeModel model)
    {
        if (Model != model.Fingerprint)
        {
            throw new ProfileException(
                $"The profile{(Path is null ? string.Empty : $" {Path}")} was made for another model ({Short(Model)}, this one is {Short(model.Fingerprint)}). "
                + Remedy);
        }
    }

    private static string Short(string fingerprint) => fingerprint[..Math.Min(12, fingerprint.Length)];

    private static string? WrongThreshold(Dictionary<string, double> thresholds)
    {
        foreach ((string name, double value) in thresholds)
        {
            if (string.IsNullOrWhiteSpace(name))
            {
                return "a threshold has no name";
            }

            if (!double.IsFinite(value))
            {
                return $"the threshold {name} is not a finite number";
            }
        }

        return null;
    }

    private static byte[] ReadHeader(FileStream file)
    {
        List<byte> header = [];
        for (int next = file.ReadByte(); next != 0; next = file.ReadByte())
        {
            if (next < 0 || header.Count == LongestHeader)
            {
                throw new JsonException("The header does not end.");
            }

            header.Add((byte)next);
        }

        return [.. header];
    }

    private static float[] ReadNumbers(FileStream file, long count)
    {
        float[] numbers = new float[count];
        file.ReadExactly(MemoryMarshal.AsBytes(numbers.AsSpan()));
        FromLittleEndian(numbers);
        return numbers;
    }

    // All arrays of a table, one after another; a copy.
    private static float[] Numbers(ProfileTable table) => [.. table.Arrays.SelectMany(array => array.Values.ToArray())];

    private static string Hash(ReadOnlySpan<float> weights)
    {
        float[] bytes = weights.ToArray();
        FromLittleEndian(bytes);
        return Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(bytes.AsSpan())));
    }

    // Its own inverse.
    private static void FromLittleEndian(Span<float> values)
    {
        if (!BitConverter.IsLittleEndian)
        {
            Span<int> bits = MemoryMarshal.Cast<float, int>(values);
            BinaryPrimitives.ReverseEndianness(bits, bits);
        }
    }

    private static bool HeadsMakeSense(ProfileHeader header) => header.KvHeadsByLayer is { } heads
        ? header.KvHeads == 0 && heads.Count == header.Layers && heads.TrueForAll(count => count is >= 1 and <= 4096)
        : header.KvHeads is >= 1 and <= 4096;
}
