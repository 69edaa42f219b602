using System.Threading.Channels;
using EdgeKV.Compression;
using EdgeKV.Extensions.AI.Requests;
using EdgeKV.Generation;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Answers;

/// <summary>The updates of one answer.</summary>
internal sealed class Response(string modelId, string? conversationId, ChannelWriter<ChatResponseUpdate> updates)
{
    private readonly string _id = $"resp_{Guid.NewGuid():N}";
    private readonly string _message = $"msg_{Guid.NewGuid():N}";
    private readonly DateTimeOffset _created = DateTimeOffset.UtcNow;

    /// <summary>Hands contents on, one update each.</summary>
    public void Write(IEnumerable<AIContent> contents)
    {
        foreach (AIContent content in contents)
        {
            updates.TryWrite(Update(content));
        }
    }

    /// <summary>Says how the answer ended and what it took.</summary>
    /// <param name="result">The answer.</param>
    /// <param name="hasCalls">Whether it calls tools.</param>
    /// <param name="promptTokens">Tokens of the whole prompt.</param>
    /// <param name="cached">Those of them that were in a context before.</param>
    /// <param name="report">What compressing the document did; null where nothing was compressed.</param>
    public void End(AnswerResult result, bool hasCalls, int promptTokens, int cached, CompressionReport? report)
    {
        UsageDetails usage = new()
        {
            InputTokenCount = promptTokens,
            CachedInputTokenCount = cached,
            OutputTokenCount = result.Tokens.Count,
            TotalTokenCount = promptTokens + result.Tokens.Count,
        };

        // Without a message the properties are the response's.
        ChatResponseUpdate last = Update(new UsageContent(usage));
        last.MessageId = null;
        last.FinishReason = hasCalls ? ChatFinishReason.ToolCalls
            : result.FinishReason == Generation.FinishReason.EndOfTurn ? ChatFinishReason.Stop
            : ChatFinishReason.Length;
        last.AdditionalProperties = report is null ? null : new() { [PropertyNames.Compression] = report };
        updates.TryWrite(last);
    }

    private ChatResponseUpdate Update(AIContent content) => new(ChatRole.Assistant, [content])
    {
        ResponseId = _id,
        MessageId = _message,
        ConversationId = conversationId,
        CreatedAt = _created,
        ModelId = modelId,
    };
}
