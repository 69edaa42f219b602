namespace EdgeKV.Evaluation.Tests.Synthetic;

public sealed class LargestFitTests
{
    [Fact]
    public void Near_AnyGuess_FindsTheLargest()
    {
        for (int largest = 3; largest <= 40; largest++)
        {
            for (int guess = 3; guess <= 40; guess++)
            {
                Assert.Equal(largest, LargestFit.Near(guess, 3, 40, number => number <= largest));
                Assert.Equal(largest, LargestFit.Find(3, 40, number => number <= largest));
            }
        }
    }

    [Fact]
    public void Near_NothingFits_IsNull() => Assert.Null(LargestFit.Near(9, 3, 40, _ => false));

    [Fact]
    public void Near_GoodGuess_NeedsFewTries()
    {
        int tries = 0;

        LargestFit.Near(1000, 1, 100_000, number =>
        {
            tries++;
            return number <= 1001;
        });

        Assert.True(tries <= 5, $"{tries} tries");
    }

    [Fact]
    public void Near_NotMonotone_ReturnsWhatFits()
    {
        static bool Fits(int number) => number <= 500 && number % 7 != 0;

        for (int guess = 1; guess < 600; guess++)
        {
            Assert.True(LargestFit.Near(guess, 1, 1000, Fits) is { } found && Fits(found));
        }
    }
}
