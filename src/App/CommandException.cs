namespace EdgeKV.Cli;

/// <summary>A failure that the user can do something about. The message is one line: the thing, what is wrong, what to do.</summary>
internal sealed class CommandException(ExitCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    public ExitCode Code { get; } = code;
}
