using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>How a profile is learned. The same options, texts, model and machine give the same profile, byte by byte.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Tokens to learn from, 1000 and up; 100,000 by default. A tenth as many again is read to check what was learned.</summary>
    public int Tokens { get; init; } = 100_000;

    /// <summary>Tokens of one text, 64 and up; 950 by default. Less where the model's window is shorter than the text, its repetition and a probe.</summary>
    public int TextTokens { get; init; } = 950;

    /// <summary>Ridge penalty on the weights, times the mean of the diagonal of X^T X; above 0.</summary>
    public double Ridge { get; init; } = 1e-4;

    /// <summary>Which parts of the texts are taken and what is mixed in.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Threads, at most <see cref="SessionOptions.MostThreads"/>; 0 (default) = physical cores.</summary>
    public int Threads { get; init; }

    /// <summary>
    /// Where to write what was learned so far, every few texts and on cancellation; a calibration of the same model, texts and options goes
    /// on from there. Deleted at the end. Null (default): nothing is written.
    /// </summary>
    public string? Checkpoint { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Tokens, 1000);
        ArgumentOutOfRangeException.ThrowIfLessThan(TextTokens, 64);
        ArgumentOutOfRangeException.ThrowIfNegative(Threads);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Threads, SessionOptions.MostThreads);
        if (Ridge is not > 0 || !double.IsFinite(Ridge))
        {
            throw new ArgumentOutOfRangeException(nameof(Ridge), Ridge, "The ridge penalty is a number above 0.");
        }
    }
}
