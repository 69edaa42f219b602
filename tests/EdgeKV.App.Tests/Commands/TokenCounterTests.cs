using EdgeKV.Cli.Commands;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Nothing is counted with a model that may have been freed.</summary>
public sealed class TokenCounterTests
{
    [Fact]
    public void Count_Disposed_UsesNothing()
    {
        int counted = 0;
        TokenCounter counter = new(text => counted += text.Length, CancellationToken.None);
        Assert.Equal(3, counter.Count("abc"));

        counter.Dispose();

        Assert.Throws<ObjectDisposedException>(() => counter.Count("abc"));
        Assert.Equal(3, counted);
    }

    [Fact]
    public void Count_Cancelled_UsesNothing()
    {
        int counted = 0;
        using TokenCounter counter = new(text => counted += text.Length, new CancellationToken(canceled: true));

        Assert.Throws<OperationCanceledException>(() => counter.Count("abc"));
        Assert.Equal(0, counted);
    }

    [Fact]
    public async Task Dispose_WhileATextIsCounted_WaitsForIt()
    {
        using ManualResetEventSlim begun = new();
        using ManualResetEventSlim goOn = new();
        bool isDone = false;
        TokenCounter counter = new(
            text =>
            {
                begun.Set();
                goOn.Wait(TestContext.Current.CancellationToken);
                isDone = true;
                return text.Length;
            },
            CancellationToken.None);
        Task<int> counting = Task.Run(() => counter.Count("abc"), TestContext.Current.CancellationToken);
        begun.Wait(TestContext.Current.CancellationToken);
        bool wasDone = false;
        Thread disposing = new(() =>
        {
            counter.Dispose();
            wasDone = isDone;
        });
        disposing.Start();

        // It waits, or it has ended too early and says so.
        SpinWait.SpinUntil(() => disposing.ThreadState is ThreadState.WaitSleepJoin or ThreadState.Stopped);
        goOn.Set();
        disposing.Join();

        Assert.True(wasDone);
        Assert.Equal(3, await counting);
    }
}
