using System.Text.Json;
using System.Text.Json.Serialization;

namespace EdgeKV.Models.Chat;

/// <summary>What edgekv_chat_render gives; edgekv_chat.h says what the members mean.</summary>
internal sealed record NativeChatPrompt(
    NativeChatPiece[] Pieces,
    int Bos,
    NativeChatGrammar? Grammar,
    string[] Stops,
    NativeChatThinking Thinking,
    NativeChatCapabilities Capabilities,
    string Format,
    JsonElement Answer);

internal sealed record NativeChatPiece(string Text, bool Control);

internal sealed record NativeChatGrammar(string Text, bool Lazy, string[] Patterns, int[] Tokens, string[] PreservedTokens);

internal sealed record NativeChatThinking(bool Supported, string Start, string End);

internal sealed record NativeChatCapabilities(bool SystemRole, bool Tools, bool ToolCalls, bool ParallelToolCalls);

/// <summary>What edgekv_chat_parse gives.</summary>
internal sealed record NativeChatAnswer(string Content, string ReasoningContent, NativeChatCall[] ToolCalls);

internal sealed record NativeChatCall(string Id, string Name, string Arguments);

/// <summary>The readers of both, made when this is compiled.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(NativeChatPrompt))]
[JsonSerializable(typeof(NativeChatAnswer))]
internal sealed partial class ChatJson : JsonSerializerContext;
