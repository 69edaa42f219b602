namespace EdgeKV.Models.Chat;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">Who speaks: "system", "user", "assistant" or "tool", or what else the model's template knows.</param>
/// <param name="Parts">
/// What is said, in parts that follow each other without anything between: a document and the question about it are two parts of one message.
/// </param>
public sealed record ChatMessage(string Role, IReadOnlyList<string> Parts)
{
    /// <summary>The role of instructions that come before a conversation.</summary>
    public const string SystemRole = "system";

    /// <summary>The role of who asks.</summary>
    public const string UserRole = "user";

    /// <summary>The role of the model.</summary>
    public const string AssistantRole = "assistant";

    /// <summary>The role of a tool's result.</summary>
    public const string ToolRole = "tool";

    /// <summary>A message of one part.</summary>
    /// <param name="role">Who speaks.</param>
    /// <param name="content">What is said.</param>
    public ChatMessage(string role, string content)
        : this(role, [content])
    {
    }

    /// <summary>The calls that the assistant makes in this message.</summary>
    public IReadOnlyList<ChatToolCall> ToolCalls { get; init; } = [];

    /// <summary>The call that a tool's message is the result of; null where calls have no id.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>The tool whose result this is; null where the template does not ask for it.</summary>
    public string? ToolName { get; init; }

    /// <summary>The assistant's thoughts before this message; null for none. Templates may leave them out.</summary>
    public string? Reasoning { get; init; }

    /// <summary>All parts together.</summary>
    public string Content => string.Concat(Parts);

    /// <summary>Instructions that come before a conversation.</summary>
    public static ChatMessage System(string content) => new(SystemRole, content);

    /// <summary>What is asked.</summary>
    public static ChatMessage User(params IReadOnlyList<string> parts) => new(UserRole, parts);

    /// <summary>What the model answered.</summary>
    public static ChatMessage Assistant(string content) => new(AssistantRole, content);

    /// <summary>What a tool gave back.</summary>
    public static ChatMessage Tool(string content, string? callId = null, string? name = null) =>
        new(ToolRole, content) { ToolCallId = callId, ToolName = name };
}
