using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Extensions.AI;

/// <summary>How an <see cref="EdgeChatClient"/> keeps its contexts.</summary>
public sealed record EdgeChatClientOptions
{
    /// <summary>How much of a document's rows may stay; a ratio of 0.8 by default. Null: documents are text like any other, and nothing is compressed.</summary>
    public Budget? Budget { get; init; } = Budget.FromRatio(0.8);

    /// <summary>Documents of fewer tokens are text like any other, 1 and up; 256 by default.</summary>
    public int MinDocumentTokens { get; init; } = 256;

    /// <summary>
    /// Turns behind a compressed document are compressed too once they have come to so many tokens, 1 and up; 512 by default. The budget then is one of the document and its turns
    /// together. Null: turns stay whole. Only models with learned scores can do it; with others turns stay whole.
    /// </summary>
    public int? MinTurnTokens { get; init; } = 512;

    /// <summary>
    /// Positions of each context, 0 to the model's window. 0 (default): twice the conversation, its answer and 2048 more, at most the window; a conversation that outgrows its context
    /// is read anew into a larger one. Compressed contexts grow up to the window.
    /// </summary>
    public int ContextSize { get; init; }

    /// <summary>Element type of keys and values; F16 by default.</summary>
    public KvCacheType CacheType { get; init; } = KvCacheType.F16;

    /// <summary>Threads, at most <see cref="SessionOptions.MostThreads"/>; 0 (default) = physical cores.</summary>
    public int Threads { get; init; }

    /// <summary>Contexts in memory at one time, 1 and up; 4 by default. The least recently used one makes room, and its conversation is read anew when it goes on.</summary>
    public int MaxContexts { get; init; } = 4;

    /// <summary>Stored conversations at one time, 1 and up; 256 by default. Only their texts are stored. The least recently used one is dropped.</summary>
    public int MaxConversations { get; init; } = 256;

    /// <summary>The most tokens of an answer where ChatOptions.MaxOutputTokens is not given, 1 and up; 512 by default.</summary>
    public int DefaultMaxOutputTokens { get; init; } = 512;

    /// <summary>The name of the model in responses and in ChatOptions.ModelId; null (default): the name of its file without the ending.</summary>
    public string? ModelId { get; init; }

    internal void Validate(EdgeModel model)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MinDocumentTokens, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MinTurnTokens ?? 1, 1, nameof(MinTurnTokens));
        ArgumentOutOfRangeException.ThrowIfNegative(ContextSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ContextSize, model.Window);
        ArgumentOutOfRangeException.ThrowIfNegative(Threads);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Threads, SessionOptions.MostThreads);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxContexts, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxConversations, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(DefaultMaxOutputTokens, 1);
        if (!Enum.IsDefined(CacheType))
        {
            throw new ArgumentException($"{nameof(CacheType)} is {CacheType}; there is no such cache type.");
        }
    }
}
