using EdgeKV.Extensions.AI.Requests;

namespace EdgeKV.Extensions.AI;

/// <summary>The names that EdgeKV reads and writes in additional properties.</summary>
public static class EdgeChatProperties
{
    /// <summary>Of a TextContent: true makes it a document, which is read once and compressed.</summary>
    public const string Document = PropertyNames.Document;

    /// <summary>Of ChatOptions: true stores the conversation, and the response has its ConversationId.</summary>
    public const string Store = PropertyNames.Store;

    /// <summary>Of ChatOptions: leaves out tokens below this share of the likeliest one's probability, 0 to below 1.</summary>
    public const string MinP = PropertyNames.MinP;

    /// <summary>Of a ChatResponse, and of the last update of a streamed one: the CompressionReport of the conversation's documents.</summary>
    public const string Compression = PropertyNames.Compression;
}
