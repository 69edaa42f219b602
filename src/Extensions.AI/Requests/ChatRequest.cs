using EdgeKV.Generation;
using EdgeKV.Models.Chat;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>What one call asks for, checked.</summary>
internal sealed record ChatRequest
{
    /// <summary>The messages of this call: the whole conversation, or with <see cref="ConversationId"/> what is new in it.</summary>
    public required IReadOnlyList<RequestMessage> Messages { get; init; }

    /// <summary>Instructions of this call alone; null for none.</summary>
    public string? Instructions { get; init; }

    /// <summary>How the template writes the conversation.</summary>
    public required ChatTemplateOptions Template { get; init; }

    /// <summary>Length and sampling of the answer.</summary>
    public required GenerationOptions Generation { get; init; }

    /// <summary>The stored conversation that goes on; null: none does.</summary>
    public string? ConversationId { get; init; }

    /// <summary>Whether a new conversation is stored.</summary>
    public bool Store { get; init; }

    /// <summary>Whether thoughts were asked for, so that a template without them cannot do it.</summary>
    public bool NeedsThinking { get; init; }

    /// <summary>Whether thoughts are handed on.</summary>
    public bool ShowsThinking { get; init; } = true;
}
