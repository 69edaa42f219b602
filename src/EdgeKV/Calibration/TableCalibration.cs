using EdgeKV.Models;
using EdgeKV.Profiles;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// How one policy's table is found: sums over units of work, each done whole or not at all, so that work can stop after any of them and go on
/// later. The same units give the same sums in the same order, byte by byte.
/// </summary>
internal abstract class TableCalibration : IDisposable
{
    private EdgeSession? _session;

    protected TableCalibration(EdgeModel model, CalibrationOptions options)
    {
        Model = model;
        Options = options;
    }

    /// <summary>The policy that needs the table.</summary>
    public abstract string Table { get; }

    /// <summary>All that the sums depend on beside the model, in words.</summary>
    public abstract string Settings { get; }

    /// <summary>Units of work.</summary>
    public abstract int Units { get; }

    /// <summary>Numbers that are summed.</summary>
    public abstract int Length { get; }

    protected EdgeModel Model { get; }

    /// <summary>The layers whose heads the sums are about.</summary>
    protected CacheGeometry Geometry => Model.Geometry;

    protected CalibrationOptions Options { get; }

    /// <summary>What a unit does.</summary>
    public abstract CalibrationStage Stage(int unit);

    /// <summary>Does a unit. When it is cancelled the sums are what they were.</summary>
    public abstract Task AddAsync(int unit, double[] sums, CancellationToken cancellation);

    /// <summary>The table that the sums of all units give.</summary>
    /// <exception cref="ProfileException">They give none.</exception>
    public abstract ProfileTable Finish(double[] sums);

    public void Dispose()
    {
        _session?.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>One session for all units, emptied.</summary>
    /// <param name="size">Tokens that it has to hold, in every unit.</param>
    /// <param name="profile">Whose learned scores it computes; null: none, whatever the model has, which may be about to be replaced.</param>
    protected EdgeSession Empty(int size, ScoreProfile? profile = null)
    {
        _session ??= Model.CreateSession(new SessionOptions
        {
            ContextSize = size,
            Threads = Options.Threads,
            LearnedScores = profile is not null,
            Profile = profile,
        });
        _session.Clear();
        return _session;
    }

    protected static string Text(FormattableString text) => FormattableString.Invariant(text);
}
