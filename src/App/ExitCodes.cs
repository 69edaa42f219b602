namespace EdgeKV.Cli;

/// <summary>The exit codes of all commands in words: for the help texts and docs/guide/exit-codes.md.</summary>
internal static class ExitCodes
{
    /// <summary>Every code and when it is returned.</summary>
    public static IReadOnlyList<(ExitCode Code, string Meaning)> Table { get; } =
    [
        (ExitCode.Success, "done"),
        (ExitCode.Internal, "an unexpected failure of the program"),
        (ExitCode.Usage, "a wrong option, or options that exclude each other"),
        (ExitCode.Model, "the model or its profile is missing, damaged or not supported"),
        (ExitCode.Data, "a document, data set, run folder or text to learn from is missing, unreadable, empty or damaged"),
        (ExitCode.DoesNotFit, "it does not fit the memory, the budget or the model's window"),
        (ExitCode.CannotWrite, "an output cannot be written, or would replace something else"),
        (ExitCode.Interrupted, "interrupted by Ctrl-C, SIGTERM, SIGQUIT or SIGHUP"),
        (ExitCode.ReaderGone, "the reader of standard output went away"),
    ];

    /// <summary>The table for help texts.</summary>
    public static string Help { get; } = string.Join('\n', Table.Select(row => $"  {(int)row.Code,3}  {row.Meaning}").Prepend("Exit codes:"));
}
