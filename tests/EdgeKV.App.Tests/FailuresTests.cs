using EdgeKV.Cli;

namespace EdgeKV.App.Tests;

public class FailuresTests
{
    public static TheoryData<Exception, int> Exceptions => new()
    {
        { new CommandException(ExitCode.Usage, "x"), 2 },
        { new ModelException("x"), 3 },
        { new UnsupportedModelException("x"), 3 },
        { new ContextWindowException("x", 2, 1), 5 },
        { new CalibrationTextException("x"), 4 },
        { new OutputException("x"), 6 },
        { new OutOfKvMemoryException("x"), 5 },
        { new OperationCanceledException(), 130 },
        { new TaskCanceledException(), 130 },
        { new NativeLibraryException("x"), 1 },
        { new PlanException("x"), 5 },
        { new InvalidOperationException("x"), 1 },
    };

    [Theory]
    [MemberData(nameof(Exceptions))]
    public void Describe_AnyException_HasItsExitCodeAndOneLine(Exception exception, int code)
    {
        (ExitCode actual, string message) = Failures.Describe(exception);

        Assert.Equal(code, (int)actual);
        Assert.EndsWith(".", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void Describe_MessageOfSeveralLines_BecomesOne() =>
        Assert.Equal("first second.", Failures.Describe(new ModelException("first\r\nsecond\n")).Message);
}
