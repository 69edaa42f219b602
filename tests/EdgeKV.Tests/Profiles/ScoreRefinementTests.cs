namespace EdgeKV.Tests.Profiles;

/// <summary>The second step of learned scores, against its definition.</summary>
public sealed class ScoreRefinementTests
{
    private const int Heads = 6;

    [Theory]
    [InlineData(1, 0)]
    [InlineData(256, 0)]
    [InlineData(700, 650)]
    public unsafe void Apply_AnyTokens_IsTheProductOfAllHeadsAndThePosition(int tokens, int first)
    {
        float[] weights = Numbers((Heads + 2) * Heads, seed: 1);
        float[] before = Numbers(Heads * tokens, seed: 2);
        float[] scores = [.. before];

        fixed (float* pointer = scores)
        {
            Refinement(weights).Apply(pointer, tokens, first);
        }

        for (int t = 0; t < tokens; t++)
        {
            double place = Math.Min(first + t, 1000) / 1000.0;
            for (int head = 0; head < Heads; head++)
            {
                double expected = place * weights[Heads * Heads + head] + weights[(Heads + 1) * Heads + head];
                for (int other = 0; other < Heads; other++)
                {
                    expected += (double)before[other * tokens + t] * weights[other * Heads + head];
                }

                Assert.Equal(expected, scores[head * tokens + t], 1e-5);
            }
        }
    }

    [Fact]
    public unsafe void Apply_InParts_GivesTheSameNumbers()
    {
        const int Tokens = 600;
        const int Part = 77;
        ScoreRefinement refinement = Refinement(Numbers((Heads + 2) * Heads, seed: 1));
        float[] before = Numbers(Heads * Tokens, seed: 2);
        float[] whole = [.. before];
        fixed (float* pointer = whole)
        {
            refinement.Apply(pointer, Tokens, 0);
        }

        for (int start = 0; start < Tokens; start += Part)
        {
            int count = Math.Min(Part, Tokens - start);
            float[] part = [.. Enumerable.Range(0, Heads).SelectMany(head => before.AsSpan(head * Tokens + start, count).ToArray())];
            fixed (float* pointer = part)
            {
                refinement.Apply(pointer, count, start);
            }

            for (int head = 0; head < Heads; head++)
            {
                Assert.Equal(whole.AsSpan(head * Tokens + start, count), part.AsSpan(head * count, count));
            }
        }
    }

    [Fact]
    public void Of_NoTable_IsNone() => Assert.Null(ScoreRefinement.Of(new Dictionary<string, ProfileTable>(), Heads, path: null));

    [Fact]
    public void Of_AnotherModelsTable_IsRefusedByName()
    {
        Dictionary<string, ProfileTable> tables = Tables(Numbers((Heads + 2) * Heads, seed: 1));

        ProfileException error = Assert.Throws<ProfileException>(() => ScoreRefinement.Of(tables, Heads + 1, "a.edgekv"));

        Assert.Contains("The profile a.edgekv has a table 'refinement' that does not fit 7 KV heads", error.Message, StringComparison.Ordinal);
    }

    private static ScoreRefinement Refinement(float[] weights) => ScoreRefinement.Of(Tables(weights), Heads, path: null)!;

    private static Dictionary<string, ProfileTable> Tables(float[] weights) => new()
    {
        [ScoreRefinement.TableName] = ScoreRefinement.Table(weights, Heads, new Dictionary<string, string> { ["from"] = "a test" }),
    };

    private static float[] Numbers(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => 2 * random.NextSingle() - 1)];
    }
}
