using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Scoring;

/// <summary>What a <see cref="StatisticReader"/> may ask of a context and do to it. The context's lock is held meanwhile.</summary>
internal interface IScoreContext
{
    /// <summary>The model.</summary>
    EdgeModel Model { get; }

    /// <summary>What the chat template puts around the texts of the context's conversation.</summary>
    ChatFrame Chat { get; }

    /// <summary>The context, for calls of the native library.</summary>
    SafeLLamaContextHandle Handle { get; }

    /// <summary>The position that the next token gets: the number of tokens of the context that is scored.</summary>
    int Position { get; }

    /// <summary>Positions that the cache can hold.</summary>
    int Limit { get; }

    /// <summary>Tokens that one decode step takes at most.</summary>
    int BatchSize { get; }

    /// <summary>Bytes of attention weights that a pass may hold at one time; 0 = 64 MiB.</summary>
    long ScoreMemory { get; }

    /// <summary>Whether tokens are scored as they are decoded.</summary>
    bool HasScoreMap { get; }

    /// <summary>Writes a score below all others where a KV head of a compact cache has no row any more.</summary>
    /// <param name="scores">[layers, kvHeads, tokens].</param>
    void MarkMissingRows(NativeScoreBuffer scores);

    /// <summary>Token ids of the context.</summary>
    /// <param name="first">The first position.</param>
    /// <param name="count">How many.</param>
    /// <exception cref="SessionStateException">Some of them are not known; the message names the range.</exception>
    int[] Tokens(int first, int count);

    /// <summary>Token ids of the whole context, those that are not known as a negative number.</summary>
    int[] KnownTokens();

    /// <summary>Feeds tokens at the next positions.</summary>
    void Feed(ReadOnlySpan<int> tokens, NativeLogits logits, in WorkPart part);

    /// <summary>Feeds tokens and adds the attention that they pay to scores.</summary>
    void FeedScored(ScoresHandle scores, ReadOnlySpan<int> tokens, in WorkPart part);

    /// <summary>Takes back every token at a position and after it.</summary>
    void Rollback(int position);

    /// <summary>Puts back tokens that were taken back to be scored, after a failure. When that fails too, the context is marked as failed.</summary>
    /// <param name="start">The position of the first token.</param>
    /// <param name="tail">The tokens.</param>
    void Refeed(int start, ReadOnlySpan<int> tail);
}
