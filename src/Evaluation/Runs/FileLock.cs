namespace EdgeKV.Evaluation;

/// <summary>A file that one process holds at a time. The hold goes with the process, however that ends.</summary>
public static class FileLock
{
    /// <summary>Takes the file, and makes it where it is not there; disposing gives it back and deletes it.</summary>
    /// <param name="path">The file; its folder exists.</param>
    /// <returns>The hold; null: another process has it.</returns>
    /// <exception cref="IOException">It cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be made.</exception>
    public static IDisposable? Take(string path)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (IOException) when (File.Exists(path))
        {
            return null;
        }
    }
}
