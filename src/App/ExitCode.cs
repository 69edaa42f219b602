namespace EdgeKV.Cli;

/// <summary>What the process returns; a script can tell by it whose fault it was.</summary>
internal enum ExitCode
{
    /// <summary>All went well.</summary>
    Success = 0,

    /// <summary>Something that no other code names.</summary>
    Other = 1,

    /// <summary>The command line is wrong, or its policy and budget do not go with the document.</summary>
    Usage = 2,

    /// <summary>The model is missing, damaged or of an unsupported kind.</summary>
    Model = 3,

    /// <summary>The document is missing, unreadable, empty or too long.</summary>
    Document = 4,

    /// <summary>There is not enough memory.</summary>
    Memory = 5,

    /// <summary>Interrupted by the user, as shells number it: 128 + SIGINT.</summary>
    Interrupted = 130,
}
