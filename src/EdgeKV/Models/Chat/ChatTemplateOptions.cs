namespace EdgeKV.Models.Chat;

/// <summary>How a conversation is written.</summary>
public sealed record ChatTemplateOptions
{
    /// <summary>Whether the header of the assistant's answer follows. Default: true.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>Whether the model is to think before it answers, for templates that know the difference. Default: true.</summary>
    public bool EnableThinking { get; init; } = true;

    /// <summary>Whether thoughts are taken out of an answer's content when it is read. Default: true.</summary>
    public bool ExtractReasoning { get; init; } = true;

    /// <summary>The functions that the model may call.</summary>
    public IReadOnlyList<ChatTool> Tools { get; init; } = [];

    /// <summary>Whether an answer may or must call one.</summary>
    public ChatToolChoice ToolChoice { get; init; }

    /// <summary>Whether an answer may have several calls. Default: false.</summary>
    public bool ParallelToolCalls { get; init; }

    /// <summary>The JSON schema of the answer, an object; null for an answer that is text.</summary>
    public string? JsonSchema { get; init; }

    /// <summary>More variables of the template: names and JSON values.</summary>
    public IReadOnlyDictionary<string, string>? Variables { get; init; }
}
