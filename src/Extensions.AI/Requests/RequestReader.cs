using EdgeKV.Generation;
using EdgeKV.Models.Chat;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>Reads what a caller asks for. What cannot be done is refused by name, so that nothing is left out without a word.</summary>
/// <param name="modelId">The model's name.</param>
/// <param name="maxTokens">The most tokens of an answer where the caller names no number.</param>
internal sealed class RequestReader(string modelId, int maxTokens)
{
    private static readonly string[] Known = [PropertyNames.MinP, PropertyNames.Store];

    /// <summary>Reads a request.</summary>
    /// <param name="messages">The messages.</param>
    /// <param name="options">The options; null for the defaults.</param>
    /// <param name="client">Given to <see cref="ChatOptions.RawRepresentationFactory"/>.</param>
    /// <exception cref="NotSupportedException">Something that EdgeKV cannot do.</exception>
    /// <exception cref="ArgumentException">Something is wrong, or there is no message.</exception>
    public ChatRequest Read(IEnumerable<ChatMessage> messages, ChatOptions? options, IChatClient client)
    {
        options ??= new ChatOptions();
        RefuseUnknown(options);
        IReadOnlyList<RequestMessage> read = MessageReader.Read(messages);
        if (read.Count == 0)
        {
            throw new ArgumentException("There is no message: give at least one.", nameof(messages));
        }

        ChatTemplateOptions template = TemplateReader.Read(options);
        GenerationOptions generation = GenerationReader.Read(options, Start(options, client), maxTokens);
        if (generation.Sampling is not null && (template.JsonSchema is not null || template.ToolChoice == ChatToolChoice.Required))
        {
            throw new NotSupportedException(
                $"{nameof(ChatOptions.RawRepresentationFactory)} gives a sampling pipeline, which a grammar of JSON or of a required call would have to be in: leave it out.");
        }

        return new ChatRequest
        {
            Messages = read,
            Instructions = string.IsNullOrEmpty(options.Instructions) ? null : options.Instructions,
            Template = template,
            Generation = generation,
            ConversationId = options.ConversationId,
            Store = options.AdditionalProperties?.TryGetValue(PropertyNames.Store, out object? store) == true && PropertyValues.Boolean(PropertyNames.Store, store),
            NeedsThinking = options.Reasoning?.Effort is not (null or ReasoningEffort.None),
            ShowsThinking = options.Reasoning?.Output != ReasoningOutput.None,
        };
    }

    private void RefuseUnknown(ChatOptions options)
    {
        if (options.ModelId is { } id && id != modelId)
        {
            throw new NotSupportedException($"{nameof(options.ModelId)} is \"{id}\"; this client has \"{modelId}\" alone.");
        }

        if (options.AllowBackgroundResponses == true)
        {
            throw Missing(nameof(options.AllowBackgroundResponses), "answers are made while the caller waits");
        }

        if (options.ContinuationToken is not null)
        {
            throw Missing(nameof(options.ContinuationToken), "an answer that was stopped is asked for anew");
        }

        if (options.Reasoning?.Output == ReasoningOutput.Summary)
        {
            throw Missing($"{nameof(options.Reasoning)}.{nameof(options.Reasoning.Output)} Summary", "thoughts are given in full or not at all");
        }

        if (options.AdditionalProperties?.Keys.FirstOrDefault(name => !Known.Contains(name)) is { } unknown)
        {
            throw new NotSupportedException($"The additional property \"{unknown}\" is not known; EdgeKV knows {string.Join(" and ", Known.Select(name => $"\"{name}\""))}.");
        }
    }

    private static GenerationOptions? Start(ChatOptions options, IChatClient client) => options.RawRepresentationFactory?.Invoke(client) switch
    {
        null => null,
        GenerationOptions start => start,
        { } other => throw new NotSupportedException(
            $"{nameof(options.RawRepresentationFactory)} gives a {other.GetType().Name}; EdgeKV takes {nameof(GenerationOptions)}."),
    };

    private static NotSupportedException Missing(string option, string why) => new($"{option} is not supported: {why}. Leave it out.");
}
