namespace EdgeKV.Scoring;

/// <summary>A part of longer work: who is told how far it is, and what stops it.</summary>
/// <param name="Progress">Gets the share of the whole work, 0 to 1; null: nobody asks.</param>
/// <param name="From">Share of the whole that is done when the part begins.</param>
/// <param name="To">Share of the whole that is done when the part ends.</param>
/// <param name="Cancellation">Stops the work.</param>
internal readonly record struct WorkPart(IProgress<double>? Progress, double From, double To, CancellationToken Cancellation)
{
    /// <summary>Work that nobody watches and nobody stops.</summary>
    public static WorkPart Silent => new(null, 0, 1, CancellationToken.None);

    /// <summary>The whole of some work.</summary>
    public static WorkPart Whole(IProgress<double>? progress, CancellationToken cancellation) => new(progress, 0, 1, cancellation);

    /// <summary>A part of this part.</summary>
    /// <param name="from">Share of this part, 0 to 1.</param>
    /// <param name="to">Share of this part, 0 to 1.</param>
    public WorkPart Slice(double from, double to) => this with { From = From + (To - From) * from, To = From + (To - From) * to };
}
