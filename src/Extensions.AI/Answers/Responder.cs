using System.Threading.Channels;
using EdgeKV.Extensions.AI.Contexts;
using EdgeKV.Extensions.AI.Requests;
using EdgeKV.Generation;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Answers;

/// <summary>Answers one request after another.</summary>
/// <param name="modelId">The model's name.</param>
/// <param name="writer">Writes conversations by the model's template.</param>
/// <param name="pool">The contexts.</param>
/// <param name="store">The stored conversations.</param>
internal sealed class Responder(string modelId, PromptWriter writer, SessionPool pool, ConversationStore store)
{
    /// <summary>Answers a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="updates">Gets the answer as it is made.</param>
    /// <param name="cancellation">Stops the answer within one token.</param>
    public async Task AnswerAsync(ChatRequest request, ChannelWriter<ChatResponseUpdate> updates, CancellationToken cancellation)
    {
        Conversation? conversation = request.ConversationId is { } id ? store.Find(id) : request.Store ? ConversationStore.Begin() : null;
        IReadOnlyList<RequestMessage> messages = [.. conversation?.Messages ?? [], .. request.Messages];
        Prompt prompt = writer.Write(messages, request);
        AnswerReader reader = new(prompt.Chat, mayCall: request.Template.Tools.Count > 0, request.ShowsThinking);
        Response response = new(modelId, conversation?.Id, updates);

        (KeptSession kept, int fed, int cached) = await pool.OpenAsync(prompt, request.Generation.MaxTokens, cancellation).ConfigureAwait(false);
        AnswerResult result = await GenerateAsync(kept, prompt, fed, request.Generation, reader, response, cancellation).ConfigureAwait(false);
        kept.Keys = prompt.Keys;
        response.Write(reader.End(result.FinishReason));
        response.End(result, reader.HasCalls, prompt.Tokens.Length, cached, kept.Report);
        if (conversation is not null)
        {
            conversation.Messages = [.. messages, new RequestMessage(reader.Message, [])];
            store.Keep(conversation);
        }
    }

    private async Task<AnswerResult> GenerateAsync(
        KeptSession kept, Prompt prompt, int fed, GenerationOptions options, AnswerReader reader, Response response, CancellationToken cancellation)
    {
        try
        {
            Answer answer = kept.Session.Kv!.GenerateAsync(
                prompt.Tokens.AsMemory(fed), prompt.Chat, options with { KeepTurn = true, KeepStopped = false, WriteControlTokens = reader.IsParsed }, cancellation);
            await foreach (string piece in answer.ConfigureAwait(false))
            {
                response.Write(reader.Next(piece));
            }

            return answer.Result;
        }
        catch (OperationCanceledException)
        {
            pool.Stop(kept);
            throw;
        }
        catch
        {
            pool.Drop(kept);
            throw;
        }
    }
}
