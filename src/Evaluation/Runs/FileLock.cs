using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>A file that one process holds at a time. The hold goes with the process, however that ends.</summary>
public static class FileLock
{
    /// <summary>Takes the file, and makes it where it is not there; disposing gives it back and deletes it.</summary>
    /// <param name="path">The file; its folder exists.</param>
    /// <returns>The hold; null: another process has it.</returns>
    /// <exception cref="OutputException">It cannot be made, or there is a file that is no lock, which is empty.</exception>
    public static IDisposable? Take(string path)
    {
        try
        {
            FileInfo there = new(path);
            if (there.LinkTarget is not null || Directory.Exists(path) || (there.Exists && (!OutputFile.IsRegular(path) || there.Length > 0)))
            {
                throw new OutputException($"{path} would keep other processes away, but something else has that name; move it away.");
            }

            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (IOException) when (File.Exists(path))
        {
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new OutputException($"{path} cannot be written: {e.Message.TrimEnd('.')}; name another place.", e);
        }
    }
}
