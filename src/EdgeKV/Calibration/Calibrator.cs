namespace EdgeKV.Calibration;

/// <summary>
/// Learns a model's profile: has it read texts and repeat them, and fits, layer by layer, a linear map from what attention is given to
/// the logarithm of the attention that every token got from the repetition (after KVzap, arXiv 2601.07891, whose teacher is KVzip, arXiv 2505.23416).
/// </summary>
public static class Calibrator
{
    /// <summary>Learns and checks a profile. One text's inputs and X^T X of every layer are held in memory; nothing else grows with the tokens.</summary>
    /// <param name="model">The model.</param>
    /// <param name="texts">What to learn from.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Gets stage and share.</param>
    /// <param name="cancellationToken">Stops the work; with <see cref="CalibrationOptions.Checkpoint"/> nothing but the text at hand is lost.</param>
    /// <exception cref="ProfileException">The texts are too few to learn from, or the checkpoint cannot be read or written.</exception>
    /// <exception cref="ContextWindowException">The model's window is too short for any text.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact, or its graph does not name what attention is given.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<ScoreProfile> RunAsync(
        EdgeModel model,
        CalibrationTexts texts,
        CalibrationOptions? options = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(texts);
        options ??= new CalibrationOptions();
        options.Validate();
        return Task.Run(() => new CalibrationRun(model, texts, options, progress).RunAsync(cancellationToken), cancellationToken);
    }
}
