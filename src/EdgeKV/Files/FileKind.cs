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

    /// <summary>A pipe or a character device such as a terminal: what is written goes to whoever reads it.</summary>
    Passing,

    /// <summary>A disk, a socket, or something else that holds no file's content.</summary>
    Other,
}
