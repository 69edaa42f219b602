using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.ModelTests;

/// <summary>The compact cache against stock llama.cpp on the F16 copy of the bundled model, where rounding does not hide errors.</summary>
public sealed class ExactnessTests
{
    // Shorter than what the figures measure, and still above the 512 keys from which attention splits them over threads.
    private static readonly Lazy<ExactnessCase> Case =
        new(() => ExactnessCase.OfDocument("F16 copy", F16Model.Path, 520) with { Decoded = 32, Prompt = 128 });

    private static readonly Dictionary<KvCacheType, ExactnessResult> Results = [];

    public static TheoryData<KvCacheType> Types => [.. MeasuredTypes.All];

    [Fact]
    public void Identity_OneThread_HasTheBitsOfStock() => Assert.True(Exactness.IdentityBitEqual(Case.Value));

    [Theory]
    [MemberData(nameof(Types))]
    public void Identity_TwoThreads_StaysWithinTheBound(KvCacheType type) => Within(type, r => r.Identity);

    [Theory]
    [MemberData(nameof(Types))]
    public void Eviction_SameHalfInAllHeads_IsWhatSeqRmGives(KvCacheType type) => Within(type, r => r.Eviction);

    [Theory]
    [MemberData(nameof(Types))]
    public void Composition_CompositePlan_IsWhatTheMaskGives(KvCacheType type) => Within(type, r => r.Composite);

    [Theory]
    [MemberData(nameof(Types))]
    public void Composition_RaggedPlanWithEmptyHeads_IsWhatTheMaskGives(KvCacheType type) => Within(type, r => r.Ragged);

    [Theory]
    [MemberData(nameof(Types))]
    public void FollowingPrompt_EveryToken_IsWhatTheMaskGives(KvCacheType type) => Within(type, r => r.Prompt);

    [Theory]
    [MemberData(nameof(Types))]
    public void Bounds_RowsShiftedByOne_AreBroken(KvCacheType type)
    {
        ExactnessResult result = ResultOf(type);
        Assert.True(result.CanFail, $"Shifted plans give KL {result.Sensitivity:E1}; the bound is {result.Bound:E1}.");
    }

    private static void Within(KvCacheType type, Func<ExactnessResult, Divergence> part)
    {
        ExactnessResult result = ResultOf(type);
        Divergence kl = part(result);
        Assert.True(kl.Max <= result.Bound, $"KL {kl.Max:E2} at most, {kl.Mean:E2} on average; the bound is {result.Bound:E2}.");
    }

    private static ExactnessResult ResultOf(KvCacheType type)
    {
        if (!Results.TryGetValue(type, out ExactnessResult? result))
        {
            Results[type] = result = Exactness.Measure(Case.Value, type);
        }

        return result;
    }
}
