using EdgeKV.Models.Chat;

namespace EdgeKV.Generation;

/// <summary>Why an answer ended.</summary>
public enum FinishReason
{
    /// <summary>The model ended its turn, by a token or by a text that ends answers.</summary>
    EndOfTurn,

    /// <summary>The number of tokens asked for was reached.</summary>
    MaxTokens,

    /// <summary>The window, or the full cache, can hold no more.</summary>
    WindowFull,

    /// <summary>The reader stopped before the end, by leaving the loop, cancelling or disposing, or the answer failed.</summary>
    Stopped,
}

/// <summary>An answer and what it took.</summary>
/// <param name="Text">The answer's text, without a character that the last token leaves incomplete.</param>
/// <param name="Tokens">The tokens generated, those that ended the turn not among them.</param>
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
    /// <summary>What belongs to the answers of the chat template; null: tokens were continued that had no template around them.</summary>
    internal ChatPrompt? Chat { get; init; }

    /// <summary>The answer with the words that it was given to begin with, control tokens as text.</summary>
    internal string Written { get; init; } = string.Empty;

    /// <summary>Takes the answer apart, as the model's chat template writes answers: what the model says, its thoughts, its calls of tools.</summary>
    /// <exception cref="InvalidOperationException">Tokens were continued that had no chat template around them.</exception>
    /// <exception cref="SessionStateException">The answer is not of the form that the template's answers have.</exception>
    /// <exception cref="UnsupportedModelException">The answer takes more time or memory to read than is allowed.</exception>
    public ChatAnswer ReadAnswer() => Chat is { } chat
        ? chat.ReadAnswer(Written, isPartial: FinishReason != FinishReason.EndOfTurn)
        : throw new InvalidOperationException("Only an answer to a question can be taken apart: here tokens were continued, with no chat template around them.");

    /// <summary>Decode steps per second; 0 when there was none.</summary>
    public double TokensPerSecond => DecodedTokens == 0 || DecodeTime == TimeSpan.Zero ? 0 : DecodedTokens / DecodeTime.TotalSeconds;
}
