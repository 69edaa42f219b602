namespace EdgeKV.Files;

/// <summary>What a path leads to, links followed.</summary>
internal enum FileKind
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>A regular file.</summary>
    Regular,

    /// <summary>A folder.</summary>
    Folder,

    /// <summary>A pipe, with a name or without one: what is written goes to whoever reads it.</summary>
    Pipe,

    /// <summary>A terminal.</summary>
    Terminal,

    /// <summary>A character device that is no terminal, such as /dev/null. Some have no end.</summary>
    Device,

    /// <summary>A disk, a socket, or something else that holds no file's content.</summary>
    Other,
}
