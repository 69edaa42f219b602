namespace EdgeKV.Evaluation.Tests.Synthetic;

// The numbers are from a second implementation, in Python, which gives SplitMix64's published sequence.
public sealed class SampleRandomTests
{
    [Fact]
    public void Next_SameName_IsTheSameEverywhere()
    {
        SampleRandom random = new("42/vt/2048/0");

        Assert.Equal([243, 564, 995, 957, 756, 623], Enumerable.Range(0, 6).Select(_ => random.Next(1000)));
        Assert.Equal(0.24377960597427162, new SampleRandom("42/vt/2048/0").NextShare());
    }

    [Fact]
    public void Uuid_IsOfVersion4() => Assert.Equal("338262d8-f096-498f-8efb-9c22cf519144", new SampleRandom("x").Uuid());

    [Fact]
    public void Shuffled_KeepsAllItems() => Assert.Equal("agchedfb", new string(new SampleRandom("x").Shuffled("abcdefgh")));

    [Fact]
    public void Sample_AllOfARange_HasEachOnce() => Assert.Equal(Enumerable.Range(0, 40), new SampleRandom("x").Sample(40, 40).Order());
}
