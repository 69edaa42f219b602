namespace EdgeKV.Native.Tests;

public sealed unsafe class ProgressCallbackTests
{
    [Fact]
    public void Function_PartOfTheWork_ReportsTheShareOfTheWhole()
    {
        Recorder recorder = new();
        using ProgressCallback callback = new(recorder, CancellationToken.None, from: 0.5, to: 0.75);

        Assert.Equal(1, ProgressCallback.Function(0f, callback.User));
        Assert.Equal(1, ProgressCallback.Function(0.5f, callback.User));
        Assert.Equal(1, ProgressCallback.Function(1.5f, callback.User));

        Assert.Equal([0.5, 0.625, 0.75], recorder.Shares);
        callback.ThrowIfFailed();
    }

    [Fact]
    public void Function_Cancelled_StopsWithoutReporting()
    {
        Recorder recorder = new();
        using CancellationTokenSource source = new();
        using ProgressCallback callback = new(recorder, source.Token);
        source.Cancel();

        Assert.Equal(0, ProgressCallback.Function(0.1f, callback.User));

        Assert.Empty(recorder.Shares);
    }

    [Fact]
    public void Function_ReceiverThrows_StopsAndKeepsTheException()
    {
        Recorder recorder = new() { Failure = new InvalidTimeZoneException("no") };
        using ProgressCallback callback = new(recorder, CancellationToken.None);

        Assert.Equal(0, ProgressCallback.Function(0.1f, callback.User));

        Assert.Same(recorder.Failure, Assert.Throws<InvalidTimeZoneException>(callback.ThrowIfFailed));
    }
}
