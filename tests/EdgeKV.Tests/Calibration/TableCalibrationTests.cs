using EdgeKV.Calibration;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Calibration;

/// <summary>What tables are computed from, by hand.</summary>
public class TableCalibrationTests
{
    [Theory]
    [InlineData("The cat sat on the mat.", "the CAT, the mat!", 4 / 6.0)]
    [InlineData("The cat sat on the mat.", "the the the the", 2 / 6.0)]
    [InlineData("one two", "two one one", 1)]
    [InlineData("one two", "", 0)]
    [InlineData("...", "one", 0)]
    public void Recall_CountsEachWordAsOftenAsTheSentenceHasIt(string sentence, string answer, double expected) =>
        Assert.Equal(expected, NeedlePrompt.Recall(sentence, answer), 12);

    [Fact]
    public void MainDirection_OfADiagonalTurned_IsTheLargestAxis()
    {
        // 9 along (3, 4) / 5, 1 along (-4, 3) / 5.
        double[] matrix = [(9 * 9 + 16) / 25.0, 12 * (9 - 1) / 25.0, 12 * (9 - 1) / 25.0, (9 * 16 + 9) / 25.0];

        (double[] direction, double share) = QFiltersTable.MainDirection(matrix, 2);

        double sign = Math.Sign(direction[0]);
        Assert.Equal(0.6, sign * direction[0], 12);
        Assert.Equal(0.8, sign * direction[1], 12);
        Assert.Equal(0.9, share, 12);
    }

    [Fact]
    public void MainDirection_OfManyRandomVectors_IsAnEigenvector()
    {
        const int Size = 16;
        var random = new Random(5);
        double[] matrix = new double[Size * Size];
        for (int i = 0; i < 40; i++)
        {
            double[] vector = [.. Enumerable.Range(0, Size).Select(_ => random.NextDouble() - 0.3)];
            for (int j = 0; j < matrix.Length; j++)
            {
                matrix[j] += vector[j / Size] * vector[j % Size];
            }
        }

        (double[] direction, double share) = QFiltersTable.MainDirection(matrix, Size);

        double value = share * Enumerable.Range(0, Size).Sum(i => matrix[i * Size + i]);
        for (int row = 0; row < Size; row++)
        {
            Assert.Equal(value * direction[row], Enumerable.Range(0, Size).Sum(column => matrix[row * Size + column] * direction[column]), 9);
        }
    }

    [Fact]
    public void MainDirection_OfNothing_IsNone() => Assert.Equal((0, 0), (QFiltersTable.MainDirection(new double[4], 2).Direction.Sum(), QFiltersTable.MainDirection(new double[4], 2).Share));

    [Fact]
    public void Gate_QueryThatSeesAllAlike_IsAHalf()
    {
        // Weights 1/4 each: running sums 1/4, 2/4, 3/4, 1, mean 10/16.
        var rotary = new RotaryEncoding([1.0], RotaryPairs.Adjacent);

        Assert.Equal(10 / 16.0, DuoAttentionTable.Gate([0, 0], [1, 1], rotary, 4), 12);
    }

    [Fact]
    public void Gate_ByDefinition()
    {
        // One pair of channels: the product of what is turned by 3 f and by p f is the cosine of the difference.
        var rotary = new RotaryEncoding([0.5], RotaryPairs.HalfSplit);
        double[] logits = [.. Enumerable.Range(0, 4).Select(p => 2 * 3 * Math.Cos(0.5 * (3 - p)) / Math.Sqrt(2))];
        double sum = logits.Sum(Math.Exp);
        double running = 0;
        double expected = logits.Sum(logit => running += Math.Exp(logit) / sum) / 4;

        Assert.Equal(expected, DuoAttentionTable.Gate([2, 0], [3, 0], rotary, 4), 6);
    }

    [Fact]
    public void RetrievalHeads_TwentyHeads_TakesThreeByInductionAndNoneByEcho()
    {
        // round(0.14 * 20) = 3, round(0.01 * 20) = 0; of equal ones the lower.
        float[] echo = new float[20];
        float[] induction = new float[20];
        echo[7] = 1;
        induction[19] = 0.9f;
        induction[4] = 0.8f;
        induction[6] = 0.5f;
        induction[5] = 0.5f;

        HeadsByLayer heads = RazorAttention.RetrievalHeads(echo, induction, HeadLayout.Uniform(5, 4));

        Assert.Equal(new HeadsByLayer([[], [0, 1], [], [], [3]]), heads);
    }

    [Fact]
    public void Losses_LaterRowsWorthMore_ShareWithThoseBeforeThem()
    {
        Assert.Equal([4, 2, 2, 2, 0], LUKVTable.Losses([4, 1, 3, 2, 0]));
        Assert.Equal([2, 2, 2], LUKVTable.Losses([1, 2, 3]));
        Assert.Equal([3, 2, 1], LUKVTable.Losses([3, 2, 1]));
        Assert.Empty(LUKVTable.Losses([]));
    }

    [Fact]
    public void Losses_RandomRows_AreTheSlopesOfTheConvexFunctionBelow()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            float[] rows = [.. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(2) == 0 ? random.Next(5) : random.NextSingle())];

            // What is lost where so many rows stay, and the lowest line between two such points.
            double[] lost = [.. Enumerable.Range(0, rows.Length + 1).Select(kept => rows.Skip(kept).Sum(row => (double)row))];
            double[] below = [.. Enumerable.Range(0, lost.Length).Select(at => (
                from first in Enumerable.Range(0, at + 1)
                from last in Enumerable.Range(at, lost.Length - at)
                select first == last ? lost[at] : double.Lerp(lost[first], lost[last], (double)(at - first) / (last - first))).Min())];

            double[] losses = LUKVTable.Losses(rows);

            Assert.Equal(losses.OrderDescending(), losses);
            for (int row = 0; row < rows.Length; row++)
            {
                Assert.Equal(below[row] - below[row + 1], losses[row], 9);
            }
        }
    }

    [Fact]
    public void AddCurve_HeadOfLittleWorth_LosesItsRowsFirstAndTheProtectedOnesLast()
    {
        // Two heads of 50 rows: a percent is a row.
        double[] curve = new double[99 * 2];
        LUKVTable.AddCurve([[.. Enumerable.Repeat(2f, 50)], [.. Enumerable.Repeat(1f, 50)]], protectedRows: 5, curve);

        Assert.Equal((0, 0.02), At(1));
        Assert.Equal((0, 0.9), At(45));
        Assert.Equal((0.02, 0.9), At(46));
        Assert.Equal((0.9, 0.9), At(90));

        // All that is left is protected: as much of each.
        Assert.Equal((0.95, 0.95), At(95));
        Assert.Equal((0.99, 0.99), At(99));

        (double, double) At(int percent) => (Math.Round(curve[2 * percent - 2], 12), Math.Round(curve[2 * percent - 1], 12));
    }

    [Fact]
    public void AddCurve_EqualRows_GoFromTheHigherHead()
    {
        double[] curve = new double[99 * 2];
        LUKVTable.AddCurve([[.. Enumerable.Repeat(1f, 50)], [.. Enumerable.Repeat(1f, 50)]], protectedRows: 0, curve);

        Assert.Equal([0, 1], curve[98..100]);
    }

    [Fact]
    public void AddCurve_RandomHeads_IsTheCheapestRowNextAndAddsUp()
    {
        for (int seed = 0; seed < 50; seed++)
        {
            var random = new Random(seed);
            int tokens = random.Next(1, 60);
            int protectedRows = random.Next(0, 6);
            float[][] heads = [.. Enumerable.Range(0, random.Next(1, 5)).Select(head => Enumerable.Range(0, tokens).Select(_ => random.NextSingle() * (head + 1)).ToArray())];
            double[] curve = [.. Enumerable.Repeat(1.0, 99 * heads.Length)];

            LUKVTable.AddCurve(heads, protectedRows, curve);

            double[][] losses = [.. heads.Select(rows => LUKVTable.Losses(rows.AsSpan(Math.Min(protectedRows, tokens))))];
            int[] kept = [.. losses.Select(rows => rows.Length)];
            int all = heads.Length * tokens;
            int gone = 0;
            for (int percent = 1; percent <= 99; percent++)
            {
                int target = (int)Math.Round(percent * all / 100.0, MidpointRounding.ToEven);
                for (; gone < target && kept.Any(rows => rows > 0); gone++)
                {
                    kept[Enumerable.Range(0, heads.Length).Reverse().Where(head => kept[head] > 0).MinBy(head => losses[head][kept[head] - 1])]--;
                }

                for (int head = 0; head < heads.Length; head++)
                {
                    double share = gone < target ? (double)target / all : (double)(losses[head].Length - kept[head]) / tokens;
                    Assert.Equal(share, curve[(percent - 1) * heads.Length + head] - 1, 9);
                }
            }
        }
    }

    [Fact]
    public void RetrievalHeads_HundredHeads_TakesOneByEchoToo()
    {
        float[] echo = new float[100];
        echo[99] = 1;

        HeadsByLayer heads = RazorAttention.RetrievalHeads(echo, new float[100], HeadLayout.Uniform(10, 10));

        Assert.Equal(15, Enumerable.Range(0, 10).Sum(layer => heads[layer].Length));
        Assert.Equal([9], heads[9].ToArray());
    }
}
