namespace EdgeKV.Native.Tests;

public sealed class NativeErrorsTests
{
    [Theory]
    [InlineData(NativeStatus.Argument, typeof(EdgeKVException))]
    [InlineData(NativeStatus.State, typeof(SessionStateException))]
    [InlineData(NativeStatus.Backend, typeof(NativeLibraryException))]
    [InlineData(NativeStatus.Model, typeof(ModelException))]
    [InlineData(NativeStatus.Unsupported, typeof(UnsupportedModelException))]
    [InlineData(NativeStatus.Memory, typeof(OutOfKvMemoryException))]
    [InlineData(NativeStatus.Window, typeof(ContextWindowException))]
    [InlineData(NativeStatus.Plan, typeof(PlanException))]
    [InlineData(NativeStatus.Io, typeof(EdgeKVException))]
    [InlineData(NativeStatus.Internal, typeof(EdgeKVException))]
    [InlineData((NativeStatus)77, typeof(EdgeKVException))]
    public void Create_Failure_KeepsStatusFunctionAndWords(NativeStatus status, Type type)
    {
        Exception exception = NativeErrors.Create(status, "edgekv_x", "what went wrong");

        Assert.Equal(type, exception.GetType());
        EdgeKVException typed = Assert.IsAssignableFrom<EdgeKVException>(exception);
        Assert.Equal(status, typed.NativeStatus);
        Assert.Equal("edgekv_x", typed.Function);
        Assert.Equal("what went wrong", typed.Message);
    }

    [Fact]
    public void Create_Cancelled_NamesTheToken()
    {
        using CancellationTokenSource source = new();

        OperationCanceledException exception = Assert.IsType<OperationCanceledException>(
            NativeErrors.Create(NativeStatus.Cancelled, "edgekv_x", "stopped", source.Token));

        Assert.Equal(source.Token, exception.CancellationToken);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("  ")]
    public void Create_NoWords_NamesFunctionAndStatus(string? message)
    {
        Exception exception = NativeErrors.Create(NativeStatus.Internal, "edgekv_x", message);

        Assert.Contains("edgekv_x", exception.Message, StringComparison.Ordinal);
        Assert.Contains("11", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ThrowIfFailed_Success_DoesNothing() => NativeErrors.ThrowIfFailed(NativeStatus.Ok, "edgekv_x");
}
