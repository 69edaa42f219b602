using EdgeKV.Cli.Terminals;
using EdgeKV.Evaluation;

namespace EdgeKV.Cli;

/// <summary>The one place that turns an exception into an exit code and a line for people, which is empty where there is nobody to read it.</summary>
internal static class Failures
{
    private const string MemoryRemedy = "take a smaller --context or --cache-type, or a shorter document.";

    public static (ExitCode Code, string Message) Describe(Exception exception) => exception switch
    {
        CommandException e => (e.Code, OneLine(e.Message)),
        OperationCanceledException => (ExitCode.Interrupted, "interrupted."),
        ModelException or UnsupportedModelException or ProfileException => (ExitCode.Model, OneLine(exception.Message)),
        DatasetException or RunException or ReportException or CalibrationTextException => (ExitCode.Data, OneLine(exception.Message)),
        PlanException or ContextWindowException => (ExitCode.DoesNotFit, OneLine(exception.Message)),
        ReaderGoneException => (ExitCode.ReaderGone, ""),
        OutputException => (ExitCode.CannotWrite, OneLine(exception.Message)),
        OutOfKvMemoryException => (ExitCode.DoesNotFit, $"{OneLine(exception.Message).TrimEnd('.')}; {MemoryRemedy}"),
        OutOfMemoryException => (ExitCode.DoesNotFit, $"the program ran out of memory; {MemoryRemedy}"),
        EdgeKVException => (ExitCode.Internal, OneLine(exception.Message)),
        _ => (ExitCode.Internal, $"unexpected {exception.GetType().Name}: {OneLine(exception.Message)} Please report it with the command that you ran."),
    };

    private static string OneLine(string message)
    {
        string line = message.ReplaceLineEndings(" ").Trim();
        return line.EndsWith('.') ? line : line + ".";
    }
}
