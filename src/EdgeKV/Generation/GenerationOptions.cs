using LLama.Sampling;

namespace EdgeKV.Generation;

/// <summary>How an answer is generated.</summary>
public sealed record GenerationOptions
{
    /// <summary>The most tokens that are generated, 1 and up; 256 by default. Fewer when the window ends before.</summary>
    public int MaxTokens { get; init; } = 256;

    /// <summary>
    /// Picks the tokens: any of LLamaSharp's pipelines, with temperature, top-p, penalties or a grammar. It is reset before the answer and belongs to the caller. Null (default): the
    /// options below.
    /// </summary>
    public ISamplingPipeline? Sampling { get; init; }

    /// <summary>0 (default): always the likeliest token, and the next four options are not used. Above: how far sampling spreads.</summary>
    public float Temperature { get; init; }

    /// <summary>Samples from so many likeliest tokens; 0 = off, 40 by default.</summary>
    public int TopK { get; init; } = 40;

    /// <summary>Samples from the likeliest tokens that make up this share, above 0 to 1; 1 = off, 0.95 by default.</summary>
    public float TopP { get; init; } = 0.95f;

    /// <summary>Leaves out tokens below this share of the likeliest one's probability, 0 to below 1; 0 = off, 0.05 by default.</summary>
    public float MinP { get; init; } = 0.05f;

    /// <summary>Seed of the sampling; the same seed gives the same answer. 0 by default.</summary>
    public uint Seed { get; init; }

    /// <summary>
    /// Taken from a token's logit for each time that the token is among the answer's last 64, -2 to 2; 0 = off, the default. Counts at temperature 0 too.
    /// </summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Taken from a token's logit once when the token is among the answer's last 64, -2 to 2; 0 = off, the default. Counts at temperature 0 too.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>
    /// Whether control tokens that do not end the turn are written as text, as <c>ChatPrompt.ReadAnswer</c> wants it. Default: false, they are left out.
    /// </summary>
    public bool WriteControlTokens { get; init; }

    /// <summary>Words that the answer begins with, given rather than generated; they are not among the pieces. Null by default.</summary>
    public string? AnswerPrefix { get; init; }

    /// <summary>Texts that end the answer, besides those of the model's chat template; they are no part of it. None by default.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>
    /// Whether question and answer stay in the cache as a turn of the conversation, so that later questions know of them. Default: false, they are taken back.
    /// </summary>
    public bool KeepTurn { get; init; }

    /// <summary>
    /// Whether, with <see cref="KeepTurn"/>, an answer that was stopped (by leaving the loop or by cancelling) stays as far as it got. Default: false, question and answer are
    /// taken back.
    /// </summary>
    public bool KeepStopped { get; init; }

    /// <summary>Tokens at an answer's end that penalties look at.</summary>
    internal const int PenaltyTokens = 64;

    internal bool HasPenalties => FrequencyPenalty != 0 || PresencePenalty != 0;

    internal void Validate()
    {
        ArgumentNullException.ThrowIfNull(Stops);
        foreach (string stop in Stops)
        {
            ArgumentNullException.ThrowIfNull(stop, nameof(Stops));
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(MaxTokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(TopK);
        Check(float.IsFinite(Temperature) && Temperature >= 0, nameof(Temperature), Temperature, "0 and above");
        Check(TopP is > 0 and <= 1, nameof(TopP), TopP, "above 0 to 1");
        Check(FrequencyPenalty is >= -2 and <= 2, nameof(FrequencyPenalty), FrequencyPenalty, "-2 to 2");
        Check(PresencePenalty is >= -2 and <= 2, nameof(PresencePenalty), PresencePenalty, "-2 to 2");
        Check(MinP is >= 0 and <= 1, nameof(MinP), MinP, "0 to 1");
    }

    private static void Check(bool valid, string name, float value, string range)
    {
        if (!valid)
        {
            throw new ArgumentOutOfRangeException(name, value, $"Allowed: {range}.");
        }
    }
}
