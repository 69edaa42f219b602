namespace EdgeKV.Native.Tests;

/// <summary>Progress that is recorded where it is reported: <see cref="Progress{T}"/> would post it elsewhere.</summary>
internal sealed class Recorder : IProgress<double>
{
    public List<double> Shares { get; } = [];

    public Exception? Failure { get; init; }

    public Action<double>? Then { get; init; }

    public void Report(double value)
    {
        Shares.Add(value);
        if (Failure is not null)
        {
            throw Failure;
        }

        Then?.Invoke(value);
    }
}
