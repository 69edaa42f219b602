namespace EdgeKV.Cli;

/// <summary>What the process returns, by which a script can tell whose fault it was. <see cref="ExitCodes"/> says it in words.</summary>
internal enum ExitCode
{
    Success = 0,
    Internal = 1,
    Usage = 2,
    Model = 3,
    Data = 4,
    DoesNotFit = 5,
    CannotWrite = 6,

    /// <summary>As shells number SIGINT: 128 + 2.</summary>
    Interrupted = 130,

    /// <summary>As shells number SIGPIPE: 128 + 13.</summary>
    ReaderGone = 141,
}
