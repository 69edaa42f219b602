using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using EdgeKV.Policies;
using EdgeKV.Scoring;
using EdgeKV.Testing;

namespace EdgeKV.Tests.Policies;

/// <summary>The scores that the reference gives a golden prompt's rows by one of its methods, and what it keeps by them.</summary>
internal sealed class GoldenPress
{
    private readonly JsonElement _golden;
    private readonly JsonElement _plans;
    private readonly float[] _scores;

    private GoldenPress(string folder, string name)
    {
        _golden = Json(folder, "golden.json");
        _plans = Json(folder, "presses.json").GetProperty(name);
        _scores = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.Combine(folder, $"press_{name}.f32"))).ToArray();
    }

    /// <summary>Skips the test where the goldens are not beside the checkout.</summary>
    public static GoldenPress Find(string prompt, string name)
    {
        string? folder = Places.Shared is { } shared ? Path.Combine(shared, "goldens", prompt) : null;
        if (!Directory.Exists(folder))
        {
            Assert.Skip("../shared/goldens is not beside the checkout.");
        }

        return new GoldenPress(folder, name);
    }

    /// <summary>The reference's scores, to be kept by as <see cref="Scorer"/> does.</summary>
    public AttentionScores Scores() => TestScores.Of(
        Number("n_layer"), Number("n_head"), Number("n_head_kv"), Number("n_context"), 0, learned: TestScores.Buffer(_scores));

    public string KeptSha256(double ratio) =>
        _plans.GetProperty(string.Create(CultureInfo.InvariantCulture, $"kept_sha256@{ratio}")).GetString()!;

    private static JsonElement Json(string folder, string name)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, name)));
        return document.RootElement.Clone();
    }

    private int Number(string name) => _golden.GetProperty(name).GetInt32();

    /// <summary>Keeps by scores as they are given.</summary>
    public sealed record Scorer : ScoredPolicy
    {
        public override string Name => "given";

        public override ScoreRequest Request => new(new Learned());

        public override void Score(AttentionScores scores, int layer, Span<float> destination)
        {
            for (int head = 0; head < scores.KvHeads; head++)
            {
                scores.Learned(layer, head).CopyTo(destination.Slice(head * scores.Tokens, scores.Tokens));
            }
        }
    }
}
