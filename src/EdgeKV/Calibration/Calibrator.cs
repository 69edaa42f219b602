using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;

namespace EdgeKV.Calibration;

/// <summary>
/// Learns a model's profile: has it read texts and repeat them, and fits, layer by layer, a linear map from what attention is given to
/// the logarithm of the attention that every token got from the repetition (after KVzap, arXiv 2601.07891, whose teacher is KVzip, arXiv 2505.23416).
/// </summary>
public static class Calibrator
{
    /// <summary>The name of the learned map among what can be calibrated.</summary>
    public const string Learned = "learned";

    // The map reads far more than any table.
    private const double LearnedShare = 8;

    /// <summary>The policies whose tables about a model can be found.</summary>
    public static IReadOnlyList<string> Tables => TableCalibrations.Names;

    /// <summary>What the default policy needs: the learned map, and the table of its correction.</summary>
    public static IReadOnlyList<string> Default { get; } = [Learned, ProbedScorer.TableName];

    /// <summary>
    /// Learns and checks a profile with everything that the <see cref="Default"/> names. One text's inputs and X^T X of every layer are held in memory;
    /// nothing else grows with the tokens.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="texts">What to learn from.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Gets stage and share.</param>
    /// <param name="cancellationToken">Stops the work; with <see cref="CalibrationOptions.Checkpoint"/> nothing but the text at hand is lost.</param>
    /// <exception cref="CalibrationTextException">The texts are too few to learn from.</exception>
    /// <exception cref="ProfileException">The checkpoint cannot be read.</exception>
    /// <exception cref="OutputException">The checkpoint cannot be written.</exception>
    /// <exception cref="ContextWindowException">The model's window is too short for any text.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact, or its graph does not name what attention is given.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<ScoreProfile> RunAsync(
        EdgeModel model,
        CalibrationTexts texts,
        CalibrationOptions? options = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellationToken = default) => RunAsync(model, texts, Default, profile: null, options, progress, cancellationToken);

    /// <summary>
    /// Finds tables that policies need and adds them to a profile, whose learned map stays as it is unless it is asked for too, or there is none: then
    /// it is learned after all tables but those about the map itself.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="texts">What prompts and texts are made from.</param>
    /// <param name="names">Some of <see cref="Tables"/>, and <see cref="Learned"/>.</param>
    /// <param name="profile">The profile that the model has; null: none.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Gets stage and share.</param>
    /// <param name="cancellationToken">Stops the work; with <see cref="CalibrationOptions.Checkpoint"/> nothing but the prompt or text at hand is lost.</param>
    /// <exception cref="ArgumentException">A name is none of these.</exception>
    /// <exception cref="ProfileException">The profile is another model's, the model gives no table, or a checkpoint cannot be read.</exception>
    /// <exception cref="CalibrationTextException">The texts are too few.</exception>
    /// <exception cref="OutputException">A checkpoint cannot be written.</exception>
    /// <exception cref="ContextWindowException">The model's window is too short for any text.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact, or a table needs what its graph does not show.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<ScoreProfile> RunAsync(
        EdgeModel model,
        CalibrationTexts texts,
        IEnumerable<string> names,
        ScoreProfile? profile,
        CalibrationOptions? options = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(names);
        HashSet<string> wanted = [.. names];
        if (wanted.FirstOrDefault(name => name != Learned && !Tables.Contains(name)) is { } unknown)
        {
            throw new ArgumentException($"There is no table for '{unknown}'; there are {Learned}, {string.Join(", ", Tables)}.", nameof(names));
        }

        options ??= new CalibrationOptions();
        options.Validate();
        model.EnsureSupported();
        profile?.EnsureFits(model);
        return Task.Run(() => TablesAsync(model, texts, wanted, profile, options, progress, cancellationToken), cancellationToken);
    }

    private static async Task<ScoreProfile> TablesAsync(
        EdgeModel model,
        CalibrationTexts texts,
        HashSet<string> names,
        ScoreProfile? profile,
        CalibrationOptions options,
        IProgress<CalibrationProgress>? progress,
        CancellationToken cancellation)
    {
        string[] tables = [.. Tables.Where(names.Contains)];
        bool learns = profile is null || names.Contains(Learned);
        double all = tables.Length + (learns ? LearnedShare : 0);
        double done = 0;

        // None is forgotten before all are done: an interrupted command goes on from all of them.
        List<Action> forget = [];
        List<ProfileTable> found = [];
        foreach (string table in tables.Where(table => !TableCalibrations.IsOfMap(table)))
        {
            await FindAsync(table, map: null).ConfigureAwait(false);
        }

        ScoreProfile map = profile!;
        if (learns)
        {
            CalibrationRun run = new(model, texts, options, progress is null ? null : new Part(progress, done / all, LearnedShare / all));
            map = await run.RunAsync(cancellation).ConfigureAwait(false);
            forget.Add(run.Forget);
            done += LearnedShare;
        }

        foreach (string table in tables.Where(TableCalibrations.IsOfMap))
        {
            await FindAsync(table, map).ConfigureAwait(false);
        }

        forget.ForEach(action => action());

        // What was found about another map does not hold for a new one.
        IEnumerable<ProfileTable> kept = profile?.Tables.Values.Where(table => !learns || !TableCalibrations.IsOfMap(table.Name)) ?? [];
        return map.With([.. kept, .. found]);

        async Task FindAsync(string table, ScoreProfile? map)
        {
            double before = done;
            using TableCalibration calibration = TableCalibrations.Of(table, model, map, texts, options);
            TableRun run = new(calibration, model, options.Checkpoint);
            found.Add(await run.RunAsync(
                (stage, share) => progress?.Report(new CalibrationProgress(stage, (before + share) / all)), cancellation).ConfigureAwait(false));
            forget.Add(run.Forget);
            done++;
        }
    }

    // The learned map's share of work that has other parts.
    private sealed class Part(IProgress<CalibrationProgress> all, double from, double share) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => all.Report(value with { Share = from + share * value.Share });
    }
}
