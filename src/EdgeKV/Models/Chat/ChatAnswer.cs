namespace EdgeKV.Models.Chat;

/// <summary>An answer, taken apart.</summary>
/// <param name="Content">What the model says.</param>
/// <param name="Reasoning">Its thoughts; empty where there are none.</param>
/// <param name="ToolCalls">The functions that it calls.</param>
public sealed record ChatAnswer(string Content, string Reasoning, IReadOnlyList<ChatToolCall> ToolCalls)
{
    /// <summary>The answer as a message of the conversation that goes on.</summary>
    public ChatMessage ToMessage() =>
        ChatMessage.Assistant(Content) with { Reasoning = Reasoning.Length > 0 ? Reasoning : null, ToolCalls = ToolCalls };
}

/// <summary>What an answer must look like, for a grammar sampler of llama.cpp.</summary>
/// <param name="Text">The grammar in GBNF, its root being "root".</param>
/// <param name="IsLazy">Whether it holds only after one of the triggers: text before a call of a tool is free.</param>
/// <param name="TriggerPatterns">Regular expressions that trigger a lazy grammar.</param>
/// <param name="TriggerTokens">Tokens that trigger it.</param>
/// <param name="PreservedTokens">Texts of control tokens that the sampler must hand on as text.</param>
public sealed record ChatGrammar(
    string Text,
    bool IsLazy,
    IReadOnlyList<string> TriggerPatterns,
    IReadOnlyList<int> TriggerTokens,
    IReadOnlyList<string> PreservedTokens);

/// <summary>How a template deals with thoughts.</summary>
/// <param name="IsSupported">Whether it knows them.</param>
/// <param name="Start">The text that begins thoughts in an answer; may be empty.</param>
/// <param name="End">The text that ends them; may be empty.</param>
public sealed record ChatThinking(bool IsSupported, string Start, string End);

/// <summary>What a template knows.</summary>
/// <param name="SystemRole">A system message; else llama.cpp puts it into the first user message.</param>
/// <param name="Tools">Descriptions of tools.</param>
/// <param name="ToolCalls">Calls of tools in the assistant's messages.</param>
/// <param name="ParallelToolCalls">Several of them in one message.</param>
public sealed record ChatCapabilities(bool SystemRole, bool Tools, bool ToolCalls, bool ParallelToolCalls);
