using System.Globalization;
using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>A golden prompt: the reference's scores and what it planned from them.</summary>
internal sealed class GoldenScores
{
    private readonly JsonElement _plans;
    private readonly string _folder;

    public GoldenScores(string folder)
    {
        _folder = folder;
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")));
        JsonElement root = document.RootElement.Clone();
        _plans = root.GetProperty("plans");
        Scores = TestScores.Of(
            root.GetProperty("n_layer").GetInt32(),
            root.GetProperty("n_head").GetInt32(),
            root.GetProperty("n_head_kv").GetInt32(),
            root.GetProperty("n_context").GetInt32(),
            queries: root.GetProperty("n_context").GetInt32(),
            max: Floats(Path.Combine(folder, "task_max.f32")),
            learned: Floats(Path.Combine(folder, "learned.f32")));
    }

    public AttentionScores Scores { get; }

    /// <summary>Rows per layer, or per layer and KV head.</summary>
    public int[] Rows(string plan) =>
    [
        .. _plans.GetProperty(plan).GetProperty("rows").EnumerateArray().SelectMany(
            rows => rows.ValueKind == JsonValueKind.Array ? rows.EnumerateArray().Select(row => row.GetInt32()) : [rows.GetInt32()]),
    ];

    public string KeptSha256(string plan) => _plans.GetProperty(plan).GetProperty("kept_sha256").GetString()!;

    /// <summary>The keep mask that learned scores give, each KV head's row packed as in <see cref="Sha256"/>.</summary>
    public byte[] LearnedMask(double ratio) =>
        File.ReadAllBytes(Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"kept_{ratio}_learned.bits")));

    /// <summary>The hash of a plan's keep mask, each KV head's row packed little-endian into whole bytes.</summary>
    public static string Sha256(CompressionPlan plan)
    {
        int rowBytes = (plan.ContextTokens + 7) / 8;
        byte[] bits = new byte[plan.KvHeads.Total * rowBytes];
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads[layer]; head++)
            {
                foreach (int position in plan.Positions(layer, head))
                {
                    bits[(plan.KvHeads.First(layer) + head) * rowBytes + position / 8] |= (byte)(1 << (position % 8));
                }
            }
        }

        return Convert.ToHexStringLower(SHA256.HashData(bits));
    }

    /// <summary>A file, plain or packed; null when the prompt has none of them.</summary>
    public static byte[]? Bytes(string path) =>
        File.Exists(path) ? File.ReadAllBytes(path) : File.Exists(path + ".gz") ? Inflate(path + ".gz") : null;

    private static ScoreBuffer? Floats(string path) =>
        Bytes(path) is { } bytes ? ScoreBuffer.FromMemory(MemoryMarshal.Cast<byte, float>(bytes).ToArray()) : null;

    private static byte[] Inflate(string path)
    {
        using var unpacked = new MemoryStream();
        using var packed = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        packed.CopyTo(unpacked);
        return unpacked.ToArray();
    }
}
