using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Profiles;

namespace EdgeKV.Tests.Profiles;

/// <summary>Profile files written by hand.</summary>
public sealed class ScoreProfileTests : IDisposable
{
    // One layer of two elements and a bias, one KV head.
    private static readonly float[] Weights = [0.5f, -2, 0.25f];

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-profile-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Load_WithoutThresholds_HasNone()
    {
        ScoreProfile profile = ScoreProfile.Load(Write(""));

        Assert.Empty(profile.Thresholds);
        Assert.Equal(Weights, profile.Weights.ToArray());
        Assert.Equal("a test", profile.Provenance["from"]);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{}")]
    public void Load_NoThresholdNamed_HasNone(string thresholds) => Assert.Empty(ScoreProfile.Load(Write(thresholds)).Thresholds);

    [Fact]
    public void Load_Thresholds_AreThoseWrittenAndAreSavedAgain()
    {
        ScoreProfile profile = ScoreProfile.Load(Write("""{ "near": -7.125, "small": -4 }"""));
        string copy = Path.Combine(_folder, "not", "there", "yet", "copy.edgekv");

        profile.Save(copy);

        ScoreProfile loaded = ScoreProfile.Load(copy);
        Assert.Equal([("near", -7.125), ("small", -4)], loaded.Thresholds.Select(pair => (pair.Key, pair.Value)));
        Assert.Equal(profile.Provenance, loaded.Provenance);
        Assert.Equal(copy, loaded.Path);
    }

    [Theory]
    [InlineData("""{ "small": 1e999 }""", "the threshold small is not a finite number")]
    [InlineData("""{ "small": "NaN" }""", "is damaged")]
    [InlineData("""{ "small": null }""", "is damaged")]
    [InlineData("""{ "": -4 }""", "a threshold has no name")]
    [InlineData("[-4]", "is damaged")]
    [InlineData("""{ "small": -4, "small": -5 }""", "is damaged")]
    public void Load_WrongThresholds_NamesTheFileAndWhatIsWrong(string thresholds, string expected)
    {
        string path = Write(thresholds);

        ProfileException error = Assert.Throws<ProfileException>(() => ScoreProfile.Load(path));

        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    private string Write(string thresholds)
    {
        byte[] weights = MemoryMarshal.AsBytes<float>(Weights).ToArray();
        string header = $$"""
            EDGEKV-PROFILE 1
            {
              "model": "abc", "layers": 1, "embeddingSize": 2, "kvHeads": 1, "weights": "{{Convert.ToHexStringLower(SHA256.HashData(weights))}}",
              "provenance": { "from": "a test" }{{(thresholds.Length == 0 ? "" : $", \"thresholds\": {thresholds}")}}
            }
            """;
        string path = Path.Combine(_folder, "hand.edgekv");
        File.WriteAllBytes(path, [.. Encoding.UTF8.GetBytes(header + "\n\0"), .. weights]);
        return path;
    }
}
