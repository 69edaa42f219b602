using EdgeKV.Planning;
using EdgeKV.Policies.Configuration;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>The policy "global" by its options, as short as tests need it.</summary>
internal static class GlobalPlans
{
    extension(GlobalSettings settings)
    {
        /// <summary>What the policy asks for.</summary>
        public ScoreRequest Request => settings.ToPolicy().Request;

        /// <summary>What the policy plans.</summary>
        public CompressionPlan Plan(AttentionScores scores, RowCost cost = default) => settings.ToPolicy().Plan(scores, cost);
    }
}
