using EdgeKV.Planning;

namespace EdgeKV.Tests.Planning;

public class CompressionPlanTests
{
    [Fact]
    public void ThrowIfEmpty_NoRowKept_SaysHowToKeepSome()
    {
        CompressionPlan nothing = new(2, 3, 10, new int[6], []);

        Assert.Contains(
            "keeps no row of 10 tokens in 2 layers x 3 KV heads", Assert.Throws<PlanException>(nothing.ThrowIfEmpty).Message, StringComparison.Ordinal);
        CompressionPlan.KeepAll(2, 3, 10).ThrowIfEmpty();
        new CompressionPlan(1, 2, 10, [0, 1], [9]).ThrowIfEmpty();
    }

    [Fact]
    public void Constructor_ValidPlan_CanBeReadBack()
    {
        var plan = new CompressionPlan(2, 2, 10, [2, 1, 0, 3], [4, 9, 0, 1, 2, 8], maxRows: 6);

        Assert.Equal([4, 9], plan.Positions(0, 0).ToArray());
        Assert.Equal([0], plan.Positions(0, 1).ToArray());
        Assert.Empty(plan.Positions(1, 0).ToArray());
        Assert.Equal([1, 2, 8], plan.Positions(1, 1).ToArray());
        Assert.Equal(3, plan.Rows(1, 1));
        Assert.Equal(3, plan.Rows(0));
        Assert.Equal(6, plan.TotalRows);
        Assert.Equal(3, plan.MaxRows);
        Assert.Equal(1 - 6 / 40.0, plan.Ratio);
        Assert.False(plan.IsComposite);
        Assert.Equal([4, 9, 0, 1, 2, 8], plan.FlatPositions.ToArray());
        Assert.Equal("ragged plan: 6 of 40 rows kept (ratio 0.85) in 2 layers x 2 KV heads, 0 to 3 rows each", plan.ToString());
    }

    [Fact]
    public void Constructor_CallersArrays_AreCopied()
    {
        int[] counts = [1];
        int[] positions = [3];
        var plan = new CompressionPlan(1, 1, 5, counts, positions);

        counts[0] = 5;
        positions[0] = 99;

        Assert.Equal([1], plan.Counts.ToArray());
        Assert.Equal([3], plan.FlatPositions.ToArray());
    }

    [Theory]
    [InlineData(new[] { 1, 1, 2, 2 }, true)]
    [InlineData(new[] { 0, 0, 3, 3 }, true)]
    [InlineData(new[] { 1, 2, 2, 2 }, false)]
    public void IsComposite_CountsOfALayer_MustBeEqual(int[] counts, bool expected)
    {
        int[] positions = [.. counts.SelectMany(count => Enumerable.Range(0, count))];

        Assert.Equal(expected, new CompressionPlan(2, 2, 4, counts, positions).IsComposite);
    }

    [Fact]
    public void Indexers_OutOfRange_Throw()
    {
        CompressionPlan plan = CompressionPlan.KeepAll(2, 3, 4);

        Assert.Throws<ArgumentOutOfRangeException>(() => plan.Rows(2, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.Rows(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.Positions(0, 3).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.Positions(0, -1).Length);
    }

    [Fact]
    public void KeepAll_EveryRow_HasRatioZero()
    {
        CompressionPlan plan = CompressionPlan.KeepAll(2, 3, 4);

        Assert.Equal(24, plan.TotalRows);
        Assert.Equal(0, plan.Ratio);
        Assert.True(plan.IsComposite);
        Assert.Equal([0, 1, 2, 3], plan.Positions(1, 2).ToArray());
    }

    [Fact]
    public void Uniform_Positions_AreThoseOfEveryHead()
    {
        CompressionPlan plan = CompressionPlan.Uniform(2, 2, 10, [1, 5, 9]);

        Assert.Equal(new CompressionPlan(2, 2, 10, [3, 3, 3, 3], [1, 5, 9, 1, 5, 9, 1, 5, 9, 1, 5, 9]), plan);
        Assert.Throws<PlanException>(() => CompressionPlan.Uniform(2, 2, 10, [1, 1]));
        Assert.Throws<PlanException>(() => CompressionPlan.Uniform(0, 2, 10, [1]));
        Assert.Throws<PlanException>(() => CompressionPlan.KeepAll(2, 2, -1));
    }

    [Fact]
    public void Equality_AnyDifference_MakesPlansUnequal()
    {
        var plan = new CompressionPlan(1, 2, 10, [1, 2], [3, 4, 5]);

        Assert.Equal(plan, new CompressionPlan(1, 2, 10, [1, 2], [3, 4, 5]));
        Assert.Equal(plan.GetHashCode(), new CompressionPlan(1, 2, 10, [1, 2], [3, 4, 5]).GetHashCode());
        Assert.NotEqual(plan, new CompressionPlan(2, 1, 10, [1, 2], [3, 4, 5]));
        Assert.NotEqual(plan, new CompressionPlan(1, 2, 11, [1, 2], [3, 4, 5]));
        Assert.NotEqual(plan, new CompressionPlan(1, 2, 10, [2, 1], [3, 4, 5]));
        Assert.NotEqual(plan, new CompressionPlan(1, 2, 10, [1, 2], [3, 4, 6]));
        Assert.False(plan.Equals(null));
    }

    [Theory]
    [InlineData(0, 1, 4, new int[0], new int[0], "at least 1 layer")]
    [InlineData(1, 0, 4, new int[0], new int[0], "at least 1 KV head")]
    [InlineData(1, 1, 0, new[] { 0 }, new int[0], "at least 1 token")]
    [InlineData(1, 2, 4, new[] { 1 }, new[] { 0 }, "1 counts")]
    [InlineData(1, 2, 4, new[] { 1, -1 }, new[] { 0 }, "Layer 0, KV head 1 keeps -1 rows")]
    [InlineData(1, 2, 4, new[] { 1, 5 }, new[] { 0, 0, 1, 2, 3, 4 }, "Layer 0, KV head 1 keeps 5 rows")]
    [InlineData(2, 1, 4, new[] { 1, 1 }, new[] { 0 }, "add up to 2 rows")]
    [InlineData(2, 1, 4, new[] { 1, 2 }, new[] { 0, 1, 4 }, "Layer 1, KV head 0 keeps position 4 (row 1)")]
    [InlineData(2, 1, 4, new[] { 1, 2 }, new[] { 0, -3, 2 }, "Layer 1, KV head 0 keeps position -3 (row 0)")]
    [InlineData(2, 1, 4, new[] { 1, 2 }, new[] { 0, 2, 2 }, "position 2 (row 1) after position 2")]
    [InlineData(2, 1, 4, new[] { 1, 2 }, new[] { 0, 2, 1 }, "position 1 (row 1) after position 2")]
    public void Constructor_BrokenRule_NamesIt(int layers, int kvHeads, int tokens, int[] counts, int[] positions, string message)
    {
        PlanException error = Assert.Throws<PlanException>(() => new CompressionPlan(layers, kvHeads, tokens, counts, positions));

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Constructor_MoreRowsThanTheBudget_Throws()
    {
        PlanException error = Assert.Throws<PlanException>(() => new CompressionPlan(1, 1, 4, [3], [0, 1, 2], maxRows: 2));

        Assert.Contains("keeps 3 rows; its budget is 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Constructor_HugeSizes_AreRefusedBeforeMemoryIsTaken()
    {
        Assert.Throws<PlanException>(() => new CompressionPlan(int.MaxValue, int.MaxValue, 4, [1], [0]));
        Assert.Throws<PlanException>(() => CompressionPlan.Uniform(100_000, 100_000, 4, [0]));
        Assert.Throws<PlanException>(() => new CompressionPlan(1, 2, int.MaxValue, [int.MaxValue, int.MaxValue], [0]));
    }

    [Fact]
    public void Constructor_ThousandRandomBadPlans_RefusesEach()
    {
        for (int seed = 0; seed < 1000; seed++)
        {
            var random = new Random(seed);
            int layers = random.Next(1, 5);
            int kvHeads = random.Next(1, 5);
            int tokens = random.Next(2, 40);
            List<int> counts = [.. Enumerable.Range(0, layers * kvHeads).Select(_ => random.Next(1, tokens + 1))];
            List<int> positions = [];
            foreach (int count in counts)
            {
                int[] all = [.. Enumerable.Range(0, tokens)];
                random.Shuffle(all);
                positions.AddRange(all.Take(count).Order());
            }

            long? budget = null;
            var good = new CompressionPlan(layers, kvHeads, tokens, counts.ToArray(), positions.ToArray());
            int row = random.Next(positions.Count);
            int head = random.Next(counts.Count);
            switch (seed % 10)
            {
                case 0:
                    positions[row] = tokens + random.Next(0, int.MaxValue - tokens);
                    break;
                case 1:
                    positions[row] = random.Next(int.MinValue, 0);
                    break;
                case 2:
                    positions.RemoveAt(row);
                    break;
                case 3:
                    positions.Insert(row, random.Next(tokens));
                    break;
                case 4:
                    counts[head] += random.Next(2) == 0 ? 1 : -1;
                    break;
                case 5:
                    counts[head] = random.Next(int.MinValue, 0);
                    break;
                case 6:
                    counts.Add(0);
                    break;
                case 7:
                    counts.RemoveAt(head);
                    break;
                case 8:
                    budget = random.NextInt64(0, good.TotalRows);
                    break;
                default:
                    // A position a second time, in a head that keeps at least two rows; where there is none, a count past the context.
                    int wide = counts.FindIndex(count => count > 1);
                    if (wide < 0)
                    {
                        counts[head] = tokens + 1;
                        break;
                    }

                    int start = counts.Take(wide).Sum();
                    positions[start + 1] = positions[start];
                    break;
            }

            PlanException error = Assert.Throws<PlanException>(
                () => new CompressionPlan(layers, kvHeads, tokens, counts.ToArray(), positions.ToArray(), budget));
            Assert.NotEmpty(error.Message);
        }
    }
}
