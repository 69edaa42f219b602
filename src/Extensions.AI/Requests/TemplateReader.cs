using System.Text.Json;
using Microsoft.Extensions.AI;
using Chat = EdgeKV.Models.Chat;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>Reads what the chat template must know: tools, the form of the answer, thinking.</summary>
internal static class TemplateReader
{
    private const string AnyObject = """{"type":"object"}""";

    /// <exception cref="NotSupportedException">A tool, a mode or a format that EdgeKV does not have.</exception>
    /// <exception cref="ArgumentException">A required tool is not among the tools, or two have one name.</exception>
    public static Chat.ChatTemplateOptions Read(ChatOptions options)
    {
        IReadOnlyList<Chat.ChatTool> tools = Tools(options.Tools ?? []);
        Chat.ChatToolChoice choice = Choice(options.ToolMode);
        if (options.ToolMode is RequiredChatToolMode required)
        {
            tools = Required(tools, required.RequiredFunctionName);
        }

        string? schema = Schema(options.ResponseFormat);
        if (schema is not null && tools.Count > 0 && choice != Chat.ChatToolChoice.None)
        {
            throw new NotSupportedException(
                $"{nameof(ChatOptions.ResponseFormat)} is JSON while tools may be called, and one answer cannot be held to both: set {nameof(ChatOptions.ToolMode)} to None, or ask for JSON in a call of its own.");
        }

        return new Chat.ChatTemplateOptions
        {
            Tools = tools,
            ToolChoice = choice,
            ParallelToolCalls = options.AllowMultipleToolCalls == true,
            JsonSchema = schema,
            EnableThinking = options.Reasoning?.Effort != ReasoningEffort.None,
            Variables = Effort(options.Reasoning?.Effort) is { } effort ? new Dictionary<string, string> { ["reasoning_effort"] = $"\"{effort}\"" } : null,
        };
    }

    private static List<Chat.ChatTool> Tools(IList<AITool> given)
    {
        List<Chat.ChatTool> tools = [];
        foreach (AITool tool in given)
        {
            if (tool is not AIFunctionDeclaration function)
            {
                throw new NotSupportedException($"The tool \"{tool.Name}\" is a {tool.GetType().Name}; EdgeKV runs on this machine and has function declarations only.");
            }

            if (tools.Any(other => other.Name == function.Name))
            {
                throw new ArgumentException($"Two tools have the name \"{function.Name}\": rename one.");
            }

            bool hasParameters = function.JsonSchema is { ValueKind: JsonValueKind.Object } schema && schema.EnumerateObject().Any();
            tools.Add(new Chat.ChatTool(function.Name, function.Description, hasParameters ? function.JsonSchema.GetRawText() : null));
        }

        return tools;
    }

    private static Chat.ChatToolChoice Choice(ChatToolMode? mode) => mode switch
    {
        null or AutoChatToolMode => Chat.ChatToolChoice.Auto,
        NoneChatToolMode => Chat.ChatToolChoice.None,
        RequiredChatToolMode => Chat.ChatToolChoice.Required,
        _ => throw new NotSupportedException($"{nameof(ChatOptions.ToolMode)} is a {mode.GetType().Name}; EdgeKV has Auto, None and Required."),
    };

    /// <summary>The tools that a required call may be of. The model sees no other, because its grammar would allow every one that it sees.</summary>
    private static IReadOnlyList<Chat.ChatTool> Required(IReadOnlyList<Chat.ChatTool> tools, string? name)
    {
        IReadOnlyList<Chat.ChatTool> allowed = name is null ? tools : [.. tools.Where(tool => tool.Name == name)];
        return allowed.Count > 0
            ? allowed
            : throw new ArgumentException(
                $"{nameof(ChatOptions.ToolMode)} requires a call of {(name is null ? "a tool" : $"\"{name}\"")}, and there is none among {nameof(ChatOptions.Tools)}: add it.");
    }

    private static string? Schema(ChatResponseFormat? format) => format switch
    {
        null or ChatResponseFormatText => null,
        ChatResponseFormatJson json => json.Schema?.GetRawText() ?? AnyObject,
        _ => throw new NotSupportedException($"{nameof(ChatOptions.ResponseFormat)} is a {format.GetType().Name}; EdgeKV has text and JSON."),
    };

    private static string? Effort(ReasoningEffort? effort) => effort switch
    {
        null or ReasoningEffort.None => null,
        ReasoningEffort.Low => "low",
        ReasoningEffort.Medium => "medium",
        ReasoningEffort.High => "high",
        _ => throw new NotSupportedException($"{nameof(ChatOptions.Reasoning)} asks for the effort {effort}; templates know None, Low, Medium and High."),
    };
}
