using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Profiles whose weights are drawn from a seed: what they predict means nothing, but every layer and head predicts something else.</summary>
public static class RandomProfile
{
    public static ScoreProfile Of(EdgeModel model, int seed, IReadOnlyDictionary<string, double>? thresholds = null)
    {
        Random random = new(seed);
        float[] weights = new float[(model.EmbeddingSize + 1) * model.Geometry.KvHeads.Total];
        for (int i = 0; i < weights.Length; i++)
        {
            weights[i] = random.NextSingle() - 0.5f;
        }

        return ScoreProfile.Of(model, weights, new Dictionary<string, string> { ["seed"] = $"{seed}" }, thresholds);
    }
}
