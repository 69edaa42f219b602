using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>Conversations go on in the contexts that hold them, and no more contexts than allowed are in memory.</summary>
public sealed class ConversationTests(ModelFixture fixture)
{
    private static ChatOptions Storing => new() { AdditionalProperties = new() { [EdgeChatProperties.Store] = true } };

    [Fact]
    public async Task History_SentEachTime_GoesOnInItsContext()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        List<ChatMessage> conversation = [ModelFixture.User("One.")];
        ChatResponse first = await client.GetResponseAsync(conversation);
        conversation.AddRange(first.Messages);
        conversation.Add(ModelFixture.User("Two."));

        ChatResponse second = await client.GetResponseAsync(conversation);

        Assert.True(second.Usage!.CachedInputTokenCount >= first.Usage!.InputTokenCount);
        Assert.Single(client.Caches);
        Assert.Null(second.ConversationId);
    }

    [Fact]
    public async Task History_ThatIsAnother_IsReadAnew()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        await client.GetResponseAsync([ModelFixture.User("One.")]);

        ChatResponse other = await client.GetResponseAsync([ModelFixture.User("One!"), new ChatMessage(ChatRole.Assistant, "Well."), ModelFixture.User("Two.")]);

        Assert.Equal(0, other.Usage!.CachedInputTokenCount);
        Assert.Equal(2, client.Caches.Count);
    }

    [Fact]
    public async Task History_WithAnAnswerThatWasChanged_GoesOnBeforeTheAnswer()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatResponse first = await client.GetResponseAsync([ModelFixture.User("One.")]);

        ChatResponse second = await client.GetResponseAsync([ModelFixture.User("One."), new ChatMessage(ChatRole.Assistant, "\u00e9 changed"), ModelFixture.User("Two.")]);

        Assert.InRange(second.Usage!.CachedInputTokenCount!.Value, first.Usage!.InputTokenCount!.Value, first.Usage.InputTokenCount!.Value + 1);
        Assert.Single(client.Caches);
    }

    [Fact]
    public async Task ConversationId_OfTheFirstResponse_GoesOnWithWhatIsNew()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        using EdgeChatClient other = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatResponse first = await client.GetResponseAsync([ModelFixture.User("One.")], Storing);
        Assert.NotNull(first.ConversationId);

        ChatResponse second = await client.GetResponseAsync([ModelFixture.User("Two.")], new ChatOptions { ConversationId = first.ConversationId });
        ChatResponse third = await client.GetResponseAsync([ModelFixture.User("Three.")], new ChatOptions { ConversationId = first.ConversationId });

        // The same as sending all of it each time.
        List<ChatMessage> whole = [ModelFixture.User("One."), .. first.Messages, ModelFixture.User("Two.")];
        await other.GetResponseAsync([ModelFixture.User("One.")]);
        ChatResponse expected = await other.GetResponseAsync(whole);
        Assert.Equal(first.ConversationId, third.ConversationId);
        Assert.Equal(expected.Text, second.Text);
        Assert.Equal(expected.Usage!.InputTokenCount, second.Usage!.InputTokenCount);
        Assert.Equal(expected.Usage.CachedInputTokenCount, second.Usage.CachedInputTokenCount);
        Assert.True(third.Usage!.CachedInputTokenCount >= second.Usage.InputTokenCount);
    }

    [Fact]
    public async Task ConversationId_ThatIsNotStored_IsRefusedByName()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options with { MaxConversations = 1 });
        string dropped = (await client.GetResponseAsync([ModelFixture.User("One.")], Storing)).ConversationId!;
        string kept = (await client.GetResponseAsync([ModelFixture.User("Two.")], Storing)).ConversationId!;

        SessionStateException refusal = await Assert.ThrowsAsync<SessionStateException>(() => Go(dropped));

        Assert.Contains(dropped, refusal.Message, StringComparison.Ordinal);
        Assert.Equal(kept, (await Go(kept)).ConversationId);

        Task<ChatResponse> Go(string id) => client.GetResponseAsync([ModelFixture.User("More.")], new ChatOptions { ConversationId = id });
    }

    [Fact]
    public async Task ConversationId_CancelledTurn_LeavesTheConversationAsItWas()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatResponse first = await client.GetResponseAsync([ModelFixture.User("One.")], Storing);
        using CancellationTokenSource stop = new();
        ChatOptions cancelled = ModelFixture.Says(new Scripted([], _ => stop.Cancel()));
        cancelled.ConversationId = first.ConversationId;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.GetResponseAsync([ModelFixture.User("Never mind this.")], cancelled, stop.Token));

        ChatResponse second = await client.GetResponseAsync([ModelFixture.User("Two.")], new ChatOptions { ConversationId = first.ConversationId });

        using EdgeChatClient other = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatResponse expected = await other.GetResponseAsync([ModelFixture.User("One."), .. first.Messages, ModelFixture.User("Two.")]);
        Assert.Equal(expected.Usage!.InputTokenCount, second.Usage!.InputTokenCount);
        Assert.True(second.Usage.CachedInputTokenCount >= first.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task Contexts_MoreConversationsThanAllowed_DropTheLeastRecentlyUsed()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options with { MaxContexts = 2 });
        string[] ids = new string[3];
        for (int i = 0; i < ids.Length; i++)
        {
            ids[i] = (await client.GetResponseAsync([ModelFixture.User($"Conversation {i}.")], Storing)).ConversationId!;
            Assert.InRange(client.Caches.Count, 1, 2);
        }

        // The second and the third are in memory; the first was dropped, and takes the place of the second.
        Assert.NotEqual(0, await Cached(ids[2]));
        Assert.NotEqual(0, await Cached(ids[1]));
        Assert.Equal(0, await Cached(ids[0]));
        Assert.NotEqual(0, await Cached(ids[1]));
        Assert.Equal(0, await Cached(ids[2]));

        async Task<long?> Cached(string id)
        {
            ChatResponse response = await client.GetResponseAsync([ModelFixture.User("More.")], new ChatOptions { ConversationId = id });
            Assert.Equal(2, client.Caches.Count);
            return response.Usage!.CachedInputTokenCount;
        }
    }

    [Fact]
    public async Task Context_ThatAConversationOutgrows_IsMadeAnewAndLarger()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        List<ChatMessage> conversation = [ModelFixture.User("One.")];
        ChatResponse first = await client.GetResponseAsync(conversation);
        conversation.AddRange(first.Messages);
        conversation.Add(ModelFixture.User(new string('x', 2200)));

        ChatResponse second = await client.GetResponseAsync(conversation);

        Assert.Equal(0, second.Usage!.CachedInputTokenCount);
        Assert.Equal(8, second.Usage.OutputTokenCount);
    }

    [Fact]
    public async Task ContextSize_Given_BoundsTheConversation()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options with { ContextSize = 256 });

        Assert.Equal(8, (await client.GetResponseAsync("Hello.")).Usage!.OutputTokenCount);
        ContextWindowException refusal = await Assert.ThrowsAsync<ContextWindowException>(() => client.GetResponseAsync(new string('x', 300)));
        Assert.Equal(256, refusal.Limit);
    }
}
