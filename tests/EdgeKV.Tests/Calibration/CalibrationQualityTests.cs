using EdgeKV.Calibration;
using EdgeKV.Models;

namespace EdgeKV.Tests.Calibration;

/// <summary>What held-out texts say about a map.</summary>
public sealed class CalibrationQualityTests
{
    private const int Text = 0;
    private const int Repeated = 1;

    [Fact]
    public void R2_PredictionsOfTwoTexts_IsOverAllTokens()
    {
        CalibrationQuality quality = new(HeadLayout.Uniform(1, 2));
        quality.AddScores(0, 0, [1, 2], [1, 2]);
        quality.AddScores(0, 0, [3, 4], [3, 4]);
        quality.AddScores(0, 1, [2.5f, 2.5f], [1, 2]);
        quality.AddScores(0, 1, [2.5f, 2.5f], [3, 4]);
        quality.AddText(2, [1, 0.5, 0]);
        quality.AddText(2, [0, 0.5, 1]);

        Assert.Equal(1, quality.R2(0, 0), 1e-9);
        Assert.Equal(0, quality.R2(0, 1), 1e-9);
        Assert.Equal(0.5, quality.R2(), 1e-9);
        Assert.Equal(0.5, quality.Overlap(0), 1e-9);
    }

    [Fact]
    public void Within_DivergenceThatRises_LiesBetweenTheThresholdsTried()
    {
        CalibrationQuality quality = Rising();

        (double threshold, double ratio) = quality.Within(0.25)!.Value;

        Assert.Equal((CalibrationQuality.Thresholds[2] + CalibrationQuality.Thresholds[3]) / 2, threshold, 1e-9);
        Assert.Equal(0.025, ratio, 1e-9);
    }

    [Fact]
    public void Within_WorseOfTheProbes_Decides()
    {
        CalibrationQuality quality = Rising();
        quality.AddProbe(Repeated);
        quality.AddDivergence(1, Repeated, 5);

        Assert.InRange(quality.Within(0.25)!.Value.Threshold, CalibrationQuality.Thresholds[0], CalibrationQuality.Thresholds[1]);
    }

    [Fact]
    public void Within_EveryThresholdKeepsIt_IsTheLargest() => Assert.Equal(CalibrationQuality.Thresholds[^1], Rising().Within(100)!.Value.Threshold);

    [Fact]
    public void Within_NoThresholdKeepsIt_IsNone()
    {
        CalibrationQuality quality = Rising();
        quality.AddDivergence(0, Text, 1);

        Assert.Null(quality.Within(0.25));
    }

    // One text; each threshold costs a tenth more than the one before and removes a hundredth more.
    private static CalibrationQuality Rising()
    {
        CalibrationQuality quality = new(HeadLayout.Uniform(1, 1));
        quality.AddText(1, [1, 1, 1]);
        quality.AddProbe(Text);
        for (int i = 0; i < CalibrationQuality.Thresholds.Length; i++)
        {
            quality.AddDivergence(i, Text, i * 0.1);
            quality.AddRatio(i, i * 0.01);
        }

        return quality;
    }
}
