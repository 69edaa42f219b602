using EdgeKV.Measurements;

namespace EdgeKV.ModelTests;

/// <summary>Bad input: a typed error each, no crash, and what it was given to goes on working.</summary>
public sealed class SoundnessTests
{
    public static TheoryData<string> Groups => [.. Soundness.All.Select(b => b.Group).Distinct()];

    [Theory]
    [MemberData(nameof(Groups))]
    public void BadInput_OfAKind_IsRefusedByATypedError(string group)
    {
        Soundness.BadInput[] inputs = [.. Soundness.All.Where(b => b.Group == group)];
        Assert.NotEmpty(inputs);
        Assert.All(inputs, input => input.Run());
    }

    [Fact]
    public async Task Sessions_ManyOneAfterAnother_LeaveMemoryFlat()
    {
        const long Mebibyte = 1 << 20;
        long growth = await SessionGrowth.MeasureAsync(100);
        Assert.InRange(growth, long.MinValue, 8 * Mebibyte);
    }
}
