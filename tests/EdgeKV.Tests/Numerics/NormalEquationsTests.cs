using EdgeKV.Numerics;

namespace EdgeKV.Tests.Numerics;

/// <summary>Regression from a stream of tokens.</summary>
public sealed class NormalEquationsTests
{
    private const int Inputs = 7;
    private const int Targets = 2;

    [Fact]
    public void Solve_TargetsThatAreLinear_FindsTheMap()
    {
        float[] map = Numbers((Inputs + 1) * Targets, 1);
        NormalEquations equations = new(Inputs, Targets);
        foreach (int tokens in new[] { 100, 1, 33 })
        {
            float[] x = Numbers(tokens * Inputs, tokens);
            equations.Add(x, Apply(map, x));
        }

        float[] found = new float[map.Length];
        equations.Solve(1e-9, found);

        for (int i = 0; i < map.Length; i++)
        {
            Assert.Equal(map[i], found[i], 1e-4);
        }
    }

    [Fact]
    public void Solve_LargePenalty_LeavesTheMeanToTheBias()
    {
        float[] x = Numbers(200 * Inputs, 2);
        float[] y = new float[200 * Targets];
        Array.Fill(y, 3, 0, 200);
        Array.Fill(y, -1, 200, 200);
        NormalEquations equations = new(Inputs, Targets);
        equations.Add(x, y);
        float[] found = new float[(Inputs + 1) * Targets];

        equations.Solve(1e9, found);

        Assert.All(found[..(Inputs * Targets)], w => Assert.Equal(0, w, 1e-6));
        Assert.Equal(3, found[^2], 1e-4);
        Assert.Equal(-1, found[^1], 1e-4);
    }

    [Fact]
    public void Solve_WeightedTokens_CountThatOften()
    {
        float[] x = Numbers(60 * Inputs, 3);
        float[] y = Numbers(60 * Targets, 4);
        NormalEquations weighted = new(Inputs, Targets);
        weighted.Add(x, y, [.. Enumerable.Range(0, 60).Select(t => t < 20 ? 3f : 1f)]);
        NormalEquations repeated = new(Inputs, Targets);
        repeated.Add(x, y);
        NormalEquations first = new(Inputs, Targets);
        first.Add(x.AsSpan(0, 20 * Inputs), [.. y[..20], .. y[60..80]]);
        repeated.Add(first, 2);

        Assert.Equal(Solved(weighted), Solved(repeated), (a, b) => Math.Abs(a - b) < 1e-5);
    }

    [Fact]
    public void Solve_TokensInTwoCalls_HasTheSameBits()
    {
        float[] x = Numbers(64 * Inputs, 5);
        float[] y = Numbers(64 * Targets, 6);
        NormalEquations once = new(Inputs, Targets);
        once.Add(x, y);
        NormalEquations twice = new(Inputs, Targets);
        twice.Add(x.AsSpan(0, 32 * Inputs), [.. y[..32], .. y[64..96]]);
        using MemoryStream stream = new();
        twice.Write(stream);
        stream.Position = 0;
        NormalEquations resumed = new(Inputs, Targets);
        resumed.Read(stream);
        resumed.Add(x.AsSpan(32 * Inputs), [.. y[32..64], .. y[96..]]);

        Assert.Equal(Solved(once), Solved(resumed));
    }

    [Fact]
    public void Solve_NoTokens_SaysSo()
    {
        NormalEquations equations = new(Inputs, Targets);

        CalibrationTextException exception = Assert.Throws<CalibrationTextException>(() => equations.Solve(1e-4, new float[(Inputs + 1) * Targets]));

        Assert.Contains("too few", exception.Message, StringComparison.Ordinal);
    }

    private static float[] Solved(NormalEquations equations)
    {
        float[] weights = new float[(Inputs + 1) * Targets];
        equations.Solve(1e-4, weights);
        return weights;
    }

    private static float[] Apply(float[] map, float[] x)
    {
        int tokens = x.Length / Inputs;
        float[] y = new float[Targets * tokens];
        for (int target = 0; target < Targets; target++)
        {
            for (int t = 0; t < tokens; t++)
            {
                double sum = map[Inputs * Targets + target];
                for (int i = 0; i < Inputs; i++)
                {
                    sum += (double)map[i * Targets + target] * x[t * Inputs + i];
                }

                y[target * tokens + t] = (float)sum;
            }
        }

        return y;
    }

    private static float[] Numbers(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 4 - 2))];
    }
}
