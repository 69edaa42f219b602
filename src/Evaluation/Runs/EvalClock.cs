using System.Diagnostics;

namespace EdgeKV.Evaluation;

/// <summary>
/// How far a run is and how long it still takes. Reading and scoring grow with the context, answering with the cells: each part goes on at its own pace.
/// </summary>
/// <param name="work">Of every sample the size of its context and its cells.</param>
/// <param name="total">Cells of the whole run, those included that were there before.</param>
internal sealed class EvalClock(IReadOnlyList<(long Size, int Cells)> work, int total)
{
    private readonly Stopwatch _time = Stopwatch.StartNew();
    private readonly long _size = work.Sum(item => item.Size);
    private readonly int _cells = work.Sum(item => item.Cells);
    private long _read;
    private int _done;

    /// <summary>A sample has been read.</summary>
    /// <param name="size">The size of its context.</param>
    public void Read(long size) => _read += size;

    /// <summary>A cell is there.</summary>
    public EvalProgress Next()
    {
        _done++;
        int finished = total - _cells + _done;
        double pace = _read == 0 ? 0 : ((double)_read / _size + (double)_done / _cells) / 2;
        return pace > 0
            ? new EvalProgress(finished, total, _time.Elapsed * ((1 - pace) / pace), pace)
            : new EvalProgress(finished, total, null, (double)_done / _cells);
    }
}
