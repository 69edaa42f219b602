using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>A file that grows by lines. A line that cannot be written whole is cut off again.</summary>
/// <param name="stream">The file, which holds whole lines and is not buffered; closed with this.</param>
/// <param name="name">What messages call it.</param>
internal sealed class ResultLines(Stream stream, string name) : IDisposable
{
    /// <summary>Adds a line; it is on the disk when this returns.</summary>
    /// <param name="line">The line, without its end.</param>
    /// <exception cref="OutputException">It could not be written; the lines before it are there.</exception>
    public void Append(string line)
    {
        long end = stream.Length;
        try
        {
            stream.Seek(end, SeekOrigin.Begin);
            stream.Write(Encoding.UTF8.GetBytes(line + "\n"));
            if (stream is FileStream file)
            {
                file.Flush(flushToDisk: true);
            }
        }
        catch (IOException e)
        {
            Cut(end);
            throw new OutputException(
                $"{name} cannot be written: {e.Message.TrimEnd('.')}. All cells before this one are there; make room and go on with --resume.", e);
        }
    }

    public void Dispose() => stream.Dispose();

    private void Cut(long end)
    {
        try
        {
            stream.SetLength(end);
        }
        catch (IOException)
        {
            // The beginning of a line is cut off when the run goes on.
        }
    }
}
