namespace EdgeKV.Generation;

/// <summary>Why an answer ended.</summary>
public enum FinishReason
{
    /// <summary>The model ended its turn.</summary>
    EndOfTurn,

    /// <summary>The number of tokens asked for was reached.</summary>
    MaxTokens,

    /// <summary>The window, or the full cache, can hold no more.</summary>
    WindowFull,

    /// <summary>The reader stopped before the end, by leaving the loop, cancelling or disposing, or the answer failed.</summary>
    Stopped,
}

/// <summary>An answer and what it took.</summary>
/// <param name="Text">The answer's text.</param>
/// <param name="Tokens">The tokens generated, the one that ended the turn not among them.</param>
/// <param name="PromptTokens">Tokens of the question with what the template puts around it.</param>
/// <param name="PromptTime">Feeding them.</param>
/// <param name="DecodedTokens">Tokens of the answer that were fed back, each one a decode step.</param>
/// <param name="DecodeTime">All decode steps and their sampling.</param>
/// <param name="FinishReason">Why it ended.</param>
public sealed record AnswerResult(
    string Text,
    IReadOnlyList<int> Tokens,
    int PromptTokens,
    TimeSpan PromptTime,
    int DecodedTokens,
    TimeSpan DecodeTime,
    FinishReason FinishReason)
{
    /// <summary>Decode steps per second; 0 when there was none.</summary>
    public double TokensPerSecond => DecodedTokens == 0 || DecodeTime == TimeSpan.Zero ? 0 : DecodedTokens / DecodeTime.TotalSeconds;
}
