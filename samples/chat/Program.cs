using EdgeKV.Compression;
using EdgeKV.Extensions.AI;
using EdgeKV.Models;
using LLama.Native;
using Microsoft.Extensions.AI;

// llama.cpp logs to standard error by default.
NativeLogConfig.llama_log_set((_, _) => { });
using EdgeModel model = EdgeModel.Load(ModelLocator.Find());
using IChatClient client = new ChatClientBuilder(model.AsChatClient()).UseFunctionInvocation().Build();

// The document is the first message. It is read with the first question, and stays.
DataContent document = new(await File.ReadAllBytesAsync(args[0]), "text/plain") { Name = Path.GetFileName(args[0]) };
List<ChatMessage> conversation = [new(ChatRole.System, [document])];
foreach (string question in args.Skip(1))
{
    conversation.Add(new ChatMessage(ChatRole.User, question));
    List<ChatResponseUpdate> updates = [];
    await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync(conversation, new ChatOptions { MaxOutputTokens = 60 }))
    {
        Console.Write(update.Text);
        updates.Add(update);
    }

    ChatResponse response = updates.ToChatResponse();
    conversation.AddRange(response.Messages);
    CompressionReport? report = response.AdditionalProperties?[EdgeChatProperties.Compression] as CompressionReport;
    Console.WriteLine();
    Console.WriteLine($"  {response.Usage?.CachedInputTokenCount} of {response.Usage?.InputTokenCount} tokens were there, {report?.RatioAchieved:P0} of the document's rows are gone");
}
