namespace EdgeKV.Evaluation.Tests.Runs;

/// <summary>A file that one process holds at a time, and that nobody leaves behind.</summary>
public sealed class FileLockTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Place => Path.Combine(_folder.Path, "run.lock");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Take_WhileItIsHeld_IsNothing()
    {
        using (FileLock.Take(Place))
        {
            Assert.Null(FileLock.Take(Place));
            Assert.True(File.Exists(Place));
        }

        Assert.False(File.Exists(Place));
        using IDisposable? again = FileLock.Take(Place);
        Assert.NotNull(again);
    }

    [Fact]
    public void Take_LeftBehindByAProcessThatWasKilled_IsTakenAndDeleted()
    {
        File.WriteAllBytes(Place, []);

        FileLock.Take(Place)!.Dispose();

        Assert.False(File.Exists(Place));
    }

    [Fact]
    public void ReleaseAll_AProcessThatEndsAtOnce_LeavesNoFile()
    {
        IDisposable held = FileLock.Take(Place)!;

        FileLock.ReleaseAll();

        Assert.False(File.Exists(Place));
        using IDisposable? next = FileLock.Take(Place);
        Assert.NotNull(next);
        held.Dispose();
        Assert.True(File.Exists(Place));
    }

    [Fact]
    public void Take_ManyAtOnce_NeverHaveItTogether()
    {
        int holders = 0;
        int taken = 0;
        Parallel.For(0, 2000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            if (FileLock.Take(Place) is { } held)
            {
                Assert.Equal(1, Interlocked.Increment(ref holders));
                Interlocked.Increment(ref taken);
                Interlocked.Decrement(ref holders);
                held.Dispose();
            }
        });

        Assert.True(taken > 0);
        Assert.False(File.Exists(Place));
    }
}
