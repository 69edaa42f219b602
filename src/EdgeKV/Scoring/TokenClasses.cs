namespace EdgeKV.Scoring;

/// <summary>
/// Which tokens are special ones and which are punctuation, by the model's tokenizer. Not numbers in a buffer: <see cref="AttentionScores.TokenMasks"/>.
/// </summary>
public sealed record TokenClasses : Statistic
{
    /// <inheritdoc/>
    public override string Name => "token classes";

    /// <inheritdoc/>
    public override bool NeedsFullCache => false;
}
