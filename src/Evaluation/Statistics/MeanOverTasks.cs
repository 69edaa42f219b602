namespace EdgeKV.Evaluation;

/// <summary>The unweighted mean over tasks, of all samples and of every draw; NaN as soon as one of the tasks is NaN, or there is no task.</summary>
internal sealed class MeanOverTasks(int resamples)
{
    private readonly double[] _sums = new double[resamples];
    private double _sum;
    private int _tasks;

    /// <summary>From all samples.</summary>
    public double Mean => _tasks == 0 ? double.NaN : _sum / _tasks;

    /// <summary>From one draw.</summary>
    public double this[int draw] => _tasks == 0 ? double.NaN : _sums[draw] / _tasks;

    /// <summary>From every draw.</summary>
    public double[] ToArray() => [.. Enumerable.Range(0, _sums.Length).Select(draw => this[draw])];

    /// <summary>Adds a task.</summary>
    /// <param name="mean">From all samples.</param>
    /// <param name="means">From every draw.</param>
    public void Add(double mean, ReadOnlySpan<double> means)
    {
        _sum += mean;
        _tasks++;
        for (int draw = 0; draw < _sums.Length; draw++)
        {
            _sums[draw] += means[draw];
        }
    }
}
