using EdgeKV.Evaluation;

namespace EdgeKV.Cli;

/// <summary>The one place that turns an exception into an exit code and a line for people.</summary>
internal static class Failures
{
    private const string MemoryRemedy = "take a smaller --context or --cache-type, or a shorter document.";

    public static (ExitCode Code, string Message) Describe(Exception exception) => exception switch
    {
        CommandException e => (e.Code, OneLine(e.Message)),
        OperationCanceledException => (ExitCode.Interrupted, "interrupted."),
        ModelException or UnsupportedModelException or ProfileException => (ExitCode.Model, OneLine(exception.Message)),
        DatasetException => (ExitCode.Document, OneLine(exception.Message)),
        PlanException => (ExitCode.Usage, OneLine(exception.Message)),
        ContextWindowException => (ExitCode.Document, OneLine(exception.Message)),
        OutOfKvMemoryException => (ExitCode.Memory, $"{OneLine(exception.Message).TrimEnd('.')}; {MemoryRemedy}"),
        OutOfMemoryException => (ExitCode.Memory, $"the program ran out of memory; {MemoryRemedy}"),
        EdgeKVException => (ExitCode.Other, OneLine(exception.Message)),
        _ => (ExitCode.Other, $"unexpected {exception.GetType().Name}: {OneLine(exception.Message)} Please report it with the command that you ran."),
    };

    private static string OneLine(string message)
    {
        string line = message.ReplaceLineEndings(" ").Trim();
        return line.EndsWith('.') ? line : line + ".";
    }
}
