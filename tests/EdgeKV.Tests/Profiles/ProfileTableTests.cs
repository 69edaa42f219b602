using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using EdgeKV.Profiles;

namespace EdgeKV.Tests.Profiles;

/// <summary>Tables of profiles: written, read, and damaged.</summary>
public sealed class ProfileTableTests : IDisposable
{
    // One layer of two elements and a bias, one KV head.
    private static readonly float[] Weights = [0.5f, -2, 0.25f];

    private static readonly ProfileTable Small = Table("small", new ProfileArray("numbers", [2, 3], new float[] { 1, 2, 3, 4, 5, 6.5f }));

    private static readonly ProfileTable Other = Table(
        "other", new ProfileArray("first", [2], new float[] { -1, 0 }), new ProfileArray("second", [1, 1, 1], new float[] { 7 }));

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-tables-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Save_WithTables_KeepsMapAndTables()
    {
        ScoreProfile profile = Plain().With(Small, Other);

        ScoreProfile loaded = ScoreProfile.Load(Saved(profile));

        Assert.Equal(Weights, loaded.Weights.ToArray());
        Assert.Equal("a test", loaded.Provenance["from"]);
        Assert.Equal(-7.125, loaded.Thresholds["near"]);
        Assert.Equal(["other", "small"], loaded.Tables.Keys);
        Assert.Equal("by hand", loaded.Tables["small"].Provenance["from"]);
        foreach (ProfileTable table in (ProfileTable[])[Small, Other])
        {
            Assert.Equal(table.Arrays.Select(array => array.Name), loaded.Tables[table.Name].Arrays.Select(array => array.Name));
            Assert.All(table.Arrays.Zip(loaded.Tables[table.Name].Arrays), pair =>
            {
                Assert.Equal(pair.First.Shape, pair.Second.Shape);
                Assert.Equal(pair.First.Values.ToArray(), pair.Second.Values.ToArray());
            });
        }
    }

    [Fact]
    public void Save_WithoutTables_IsTheFileThatThereWasBeforeTables()
    {
        byte[] bytes = File.ReadAllBytes(Saved(Plain()));

        Assert.StartsWith("EDGEKV-PROFILE 1\n{", Encoding.UTF8.GetString(bytes), StringComparison.Ordinal);
        Assert.DoesNotContain("ables", Encoding.UTF8.GetString(bytes), StringComparison.Ordinal);
        Assert.Equal(MemoryMarshal.AsBytes<float>(Weights).ToArray(), bytes[^12..]);
    }

    [Fact]
    public void With_AnyOrder_GivesTheSameBytes() => Assert.Equal(
        File.ReadAllBytes(Saved(Plain().With(Small, Other))), File.ReadAllBytes(Saved(Plain().With(Other).With(Small))));

    [Fact]
    public void With_TheSameName_TakesThePlace()
    {
        ProfileTable again = Table("small", new ProfileArray("numbers", [1], new float[] { 9 }));

        ScoreProfile loaded = ScoreProfile.Load(Saved(Plain().With(Small, Other).With(again)));

        Assert.Equal(["other", "small"], loaded.Tables.Keys);
        Assert.Equal([9], loaded.Tables["small"].Arrays.Single().Values.ToArray());
    }

    [Fact]
    public void Load_AnyBitOfTheNumbersFlipped_IsRefused()
    {
        string path = Saved(Plain().With(Small, Other));
        byte[] bytes = File.ReadAllBytes(path);
        int numbers = sizeof(float) * (3 + 6 + 3);
        for (int at = bytes.Length - numbers; at < bytes.Length; at++)
        {
            byte[] damaged = [.. bytes];
            damaged[at] ^= 0x40;
            File.WriteAllBytes(path, damaged);
            AssertRefused(path, "is damaged");
        }
    }

    [Fact]
    public void Load_Truncated_IsRefused()
    {
        string path = Saved(Plain().With(Small));
        byte[] bytes = File.ReadAllBytes(path);
        for (int length = 0; length < bytes.Length; length += 7)
        {
            File.WriteAllBytes(path, bytes[..length]);
            AssertRefused(path, path);
        }
    }

    [Theory]
    [InlineData("EDGEKV-PROFILE 2", "EDGEKV-PROFILE 1", "its version has no tables")]
    [InlineData("EDGEKV-PROFILE 2", "EDGEKV-PROFILE 3", "is not an EdgeKV profile of this version")]
    [InlineData("\"numbers\"", "\"\"", "the sizes of its table 'small' make no sense")]
    [InlineData("\"small\"", "\" \"", "the sizes of its table ' ' make no sense")]
    [InlineData("            3\n", "            0\n", "the sizes of its table 'small' make no sense")]
    [InlineData("            3\n", "            2147483647\n", "the sizes of its table 'small' make no sense")]
    [InlineData("            3\n", "            4\n", "bytes of numbers rather than")]
    [InlineData("\"small\": {", "\"other\": null, \"small\": {", "the sizes of its table 'other' make no sense")]
    [InlineData("\"shape\"", "\"shapes\"", "is damaged")]
    public void Load_WrongHeader_SaysWhatIsWrong(string there, string instead, string expected)
    {
        string path = Saved(Plain().With(Small));
        string text = Encoding.Latin1.GetString(File.ReadAllBytes(path));
        Assert.Contains(there, text, StringComparison.Ordinal);
        File.WriteAllBytes(path, Encoding.Latin1.GetBytes(text.Replace(there, instead, StringComparison.Ordinal)));

        AssertRefused(path, expected);
    }

    [Fact]
    public void Load_MoreWeightsThanAnyModelNeeds_IsRefusedBeforeTheyAreRead()
    {
        string path = Saved(Plain());
        string text = Encoding.Latin1.GetString(File.ReadAllBytes(path));
        text = Regex.Replace(text, "\"(layers|kvHeads)\": \\d+", "\"$1\": 4096");
        File.WriteAllBytes(path, Encoding.Latin1.GetBytes(Regex.Replace(text, "\"embeddingSize\": \\d+", "\"embeddingSize\": 1048576")));
        using (FileStream file = File.OpenWrite(path))
        {
            // Takes no room on the disk.
            file.SetLength(12_000_000_000);
        }

        AssertRefused(path, "its sizes make no sense");
    }

    [Fact]
    public void Load_TablesPromisedAndNotThere_IsRefused()
    {
        string path = Saved(Plain());
        string text = Encoding.Latin1.GetString(File.ReadAllBytes(path));
        File.WriteAllBytes(path, Encoding.Latin1.GetBytes(text.Replace("PROFILE 1", "PROFILE 2", StringComparison.Ordinal)));

        AssertRefused(path, "its version has tables, and there are none");
    }

    [Fact]
    public void Create_WrongArrays_AreRefused()
    {
        Assert.Contains("an array has no name of its own", Refused(new("a", [1], new float[1]), new("a", [1], new float[1])), StringComparison.Ordinal);
        Assert.Contains("there are none", Refused(), StringComparison.Ordinal);
        Assert.Contains("'a' makes no sense", Refused(new ProfileArray("a", [0], default)), StringComparison.Ordinal);
        Assert.Contains("'a' is [2, 2] and has 3 numbers", Refused(new ProfileArray("a", [2, 2], new float[3])), StringComparison.Ordinal);
        Assert.Contains("'a' has NaN", Refused(new ProfileArray("a", [1], new[] { float.NaN })), StringComparison.Ordinal);

        static string Refused(params ProfileArray[] arrays) => Assert.Throws<ArgumentException>(() => Table("t", arrays)).Message;
    }

    private static ProfileTable Table(string name, params ProfileArray[] arrays) =>
        new(name, arrays, new Dictionary<string, string> { ["from"] = "by hand" });

    private static void AssertRefused(string path, string expected)
    {
        ProfileException error = Assert.Throws<ProfileException>(() => ScoreProfile.Load(path));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    private string Saved(ScoreProfile profile)
    {
        string path = Path.Combine(_folder, $"{Guid.NewGuid():n}.edgekv");
        profile.Save(path);
        return path;
    }

    private ScoreProfile Plain()
    {
        byte[] weights = MemoryMarshal.AsBytes<float>(Weights).ToArray();
        string header = $$"""
            EDGEKV-PROFILE 1
            {
              "model": "abc", "layers": 1, "embeddingSize": 2, "kvHeads": 1, "weights": "{{Convert.ToHexStringLower(SHA256.HashData(weights))}}",
              "provenance": { "from": "a test" }, "thresholds": { "near": -7.125 }
            }
            """;
        string path = Path.Combine(_folder, "hand.edgekv");
        File.WriteAllBytes(path, [.. Encoding.UTF8.GetBytes(header + "\n\0"), .. weights]);
        return ScoreProfile.Load(path);
    }
}
