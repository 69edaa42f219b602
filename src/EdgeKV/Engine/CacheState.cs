using EdgeKV.Models;
using EdgeKV.Models.Chat;

namespace EdgeKV.Engine;

/// <summary>A context's KV cache at one moment. It is read from the native library, so it is right whoever decoded, rolled back or cleared.</summary>
public sealed record CacheState
{
    /// <summary>The token id of a position whose token is not known.</summary>
    public const int UnknownToken = -1;

    /// <summary>How the cache is laid out.</summary>
    public required CacheLayout Layout { get; init; }

    /// <summary>The layers and heads that have rows.</summary>
    public required CacheGeometry Geometry { get; init; }

    /// <summary>The position that the next token gets: the number of tokens that were fed and not taken back.</summary>
    public required int Position { get; init; }

    /// <summary>
    /// The token ids at positions 0 to <see cref="Position"/> - 1. <see cref="UnknownToken"/> where an id is not known: tokens that were decoded before the attach or
    /// given as embeddings, or that came with a state of LLamaSharp's. Where rows were given other positions (<c>CompressOptions.Rerotate</c>), the ids of a position are those of its
    /// rows, and unknown where KV heads keep rows of different tokens.
    /// </summary>
    public required ReadOnlyMemory<int> Tokens { get; init; }

    /// <summary>Tokens that the kept rows stand for, at positions 0 to ContextTokens - 1; 0 when the cache is full.</summary>
    public required int ContextTokens { get; init; }

    /// <summary>Rows that are there, over all layers and KV heads, those of tokens after the context included.</summary>
    public required long Rows { get; init; }

    /// <summary>Rows that every KV head has for tokens after the context; of a full cache its cells, used or not.</summary>
    public required int Room { get; init; }

    /// <summary>Bytes of the buffers that hold keys and values, as the backends report them.</summary>
    public required long Bytes { get; init; }

    /// <summary>Bytes of one KV head's key and value of one token, by layer.</summary>
    public required IReadOnlyList<long> RowBytes { get; init; }

    /// <summary>Cells of the full cache that the context was made with.</summary>
    public required int ContextSize { get; init; }

    /// <summary>Positions that the cache can come to hold: the cells of a full cache, the model's window for a compact one.</summary>
    public required int Limit { get; init; }

    /// <summary>Sequences that have tokens in the cache. Compression needs one.</summary>
    public required int Sequences { get; init; }

    /// <summary>Whether every token in the cache has learned scores. False for an empty cache without a profile.</summary>
    public required bool HasLearnedScores { get; init; }

    /// <summary>Whose turn of the conversation the tokens end in, as far as the chat template shows.</summary>
    public required ConversationTurn Turn { get; init; }

    /// <summary>Whether the cache has been compressed.</summary>
    public bool IsCompact => Layout == CacheLayout.Compact;
}
