using EdgeKV.Extensions.AI.Requests;
using EdgeKV.Models;
using EdgeKV.Models.Chat;

namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>Writes conversations by the model's template.</summary>
/// <param name="model">The model.</param>
/// <param name="minDocumentTokens">Documents of fewer tokens are text like any other.</param>
internal sealed class PromptWriter(EdgeModel model, int minDocumentTokens)
{
    private readonly ChatTemplate _template = new(model.Weights.NativeHandle);

    /// <summary>Writes a conversation.</summary>
    /// <param name="messages">All messages.</param>
    /// <param name="request">What the answer shall be.</param>
    /// <exception cref="UnsupportedModelException">There is no template, or it refuses the conversation.</exception>
    /// <exception cref="NotSupportedException">The template cannot do what is asked for.</exception>
    public Prompt Write(IReadOnlyList<RequestMessage> messages, ChatRequest request)
    {
        IReadOnlyList<RequestMessage> all = request.Instructions is { } instructions ? Instruct(messages, instructions) : messages;
        ChatPrompt chat = _template.Render([.. all.Select(message => message.Message)], request.Template);
        RefuseUnknown(chat, all, request);

        // Documents are tokenized apart from what follows, so that their tokens are the same whatever is asked about them.
        ChatPrompt rest = chat;
        List<int> tokens = [];
        List<int> ends = [];
        foreach ((int message, int part) in Documents(all))
        {
            (ChatPrompt document, rest) = rest.CutAfter(message, part);
            tokens.AddRange(Tokenize(document));
            ends.Add(tokens.Count);
        }

        tokens.AddRange(Tokenize(rest));
        return new Prompt(chat, [.. tokens], ends, [.. all.Select(message => message.Key)]);
    }

    private IEnumerable<(int Message, int Part)> Documents(IReadOnlyList<RequestMessage> messages) =>
        from message in Enumerable.Range(0, messages.Count)
        from part in messages[message].Documents
        where model.Tokenize(messages[message].Message.Parts[part]).Length >= minDocumentTokens
        select (message, part);

    private int[] Tokenize(ChatPrompt prompt) => prompt.Tokenize((text, parseSpecial) => model.Tokenize(text, addSpecial: false, parseSpecial));

    /// <summary>The conversation with instructions before it, in the system's message where it has one: many templates take one alone.</summary>
    private static RequestMessage[] Instruct(IReadOnlyList<RequestMessage> messages, string instructions)
    {
        if (messages[0] is not { Message.Role: ChatMessage.SystemRole } system)
        {
            return [new RequestMessage(ChatMessage.System(instructions), []), .. messages];
        }

        ChatMessage both = system.Message with { Parts = [instructions + "\n\n", .. system.Message.Parts] };
        return [new RequestMessage(both, [.. system.Documents.Select(part => part + 1)]), .. messages.Skip(1)];
    }

    private static void RefuseUnknown(ChatPrompt prompt, IReadOnlyList<RequestMessage> messages, ChatRequest request)
    {
        if (request.Template.Tools.Count > 0 && !prompt.Capabilities.Tools)
        {
            throw Missing("tools", "leave Tools out");
        }

        if (messages.Any(message => message.Message.ToolCalls.Count > 0) && !prompt.Capabilities.ToolCalls)
        {
            throw Missing("calls of tools", "leave messages with calls out");
        }

        if (request.NeedsThinking && !prompt.Thinking.IsSupported)
        {
            throw Missing("thinking", "leave Reasoning out");
        }

        bool needsGrammar = request.Template.JsonSchema is not null || request.Template.ToolChoice == ChatToolChoice.Required;
        if (needsGrammar && prompt.Grammar is not { IsLazy: false })
        {
            throw Missing(request.Template.JsonSchema is null ? "required calls" : "JSON", "ask for text");
        }

        static NotSupportedException Missing(string what, string help) => new($"The model's chat template does not know {what}: {help}, or take another model.");
    }
}
