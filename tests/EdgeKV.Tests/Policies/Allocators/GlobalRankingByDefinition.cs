using EdgeKV.Planning;
using EdgeKV.Policies.Configuration;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

/// <summary>
/// The global ranking as its definition reads, by one comparison sort over all rows: the second route. Shares no code with the policy.
/// </summary>
internal static class GlobalRankingByDefinition
{
    public static CompressionPlan Plan(GlobalSettings policy, AttentionScores scores, long budget)
    {
        var rows =
            from layer in Enumerable.Range(0, scores.Layers)
            from head in Enumerable.Range(0, scores.KvHeads[layer])
            from token in Enumerable.Range(0, scores.Tokens)
            let age = scores.Tokens - 1 - token
            let score = Score(policy, scores, layer, head, token)
            let tier = token < policy.Protected ? 0 : age < policy.Recent ? 1 : 2
            orderby tier, tier == 1 ? age : 0, tier == 2 ? score : 0 descending, layer, head, token
            where tier < 2 || Reaches(policy, score)
            select (List: scores.KvHeads.First(layer) + head, Token: token);
        (int List, int Token)[] kept = [.. rows.Take((int)budget)];

        int[] counts = new int[scores.KvHeads.Total];
        foreach ((int list, _) in kept)
        {
            counts[list]++;
        }

        int[] positions = [.. kept.OrderBy(row => row.List).ThenBy(row => row.Token).Select(row => row.Token)];
        return new CompressionPlan(scores.KvHeads, scores.Tokens, counts, positions);
    }

    private static float Score(GlobalSettings policy, AttentionScores scores, int layer, int head, int token)
    {
        if (policy.Source == RowScore.Learned)
        {
            return scores.Learned(layer, head)[token];
        }

        float sum = 0;
        for (int member = 0; member < scores.GroupSize(layer); member++)
        {
            sum += scores.Values(new TaskAttention(policy.TaskSet, AttentionAggregate.Max), layer, head * scores.GroupSize(layer) + member)[token];
        }

        float repeat = sum / scores.GroupSize(layer);
        return policy.Source == RowScore.Repeat ? repeat : MathF.Log(repeat + 1e-7f) + scores.Learned(layer, head)[token];
    }

    private static bool Reaches(GlobalSettings policy, float score) => policy.Threshold is not { } threshold
        || (policy.Source == RowScore.Repeat ? score >= Math.Exp(threshold) - 1e-7 : score >= threshold);
}
