using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Sessions;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>Whole and streamed answers, what they say of themselves, and what they take.</summary>
public sealed class AnswerTests(ModelFixture fixture)
{
    private static readonly CancellationToken None = CancellationToken.None;

    public static TheoryData<string> Sampled => ["greedy", "temperature", "bounded", "penalties", "json"];

    [Theory]
    [MemberData(nameof(Sampled))]
    public async Task GetResponse_AnyOptions_EqualsTheStreamedAnswer(string kind)
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatOptions options = kind switch
        {
            "greedy" => new ChatOptions(),
            "temperature" => new ChatOptions { Temperature = 1.2f, Seed = 7 },
            "bounded" => new ChatOptions { TopP = 0.9f, TopK = 20, Seed = 8, AdditionalProperties = new() { ["min_p"] = 0.01 } },
            "penalties" => new ChatOptions { FrequencyPenalty = 1.5f, PresencePenalty = 0.5f },
            _ => new ChatOptions { ResponseFormat = ChatResponseFormat.ForJsonSchema(Schemas.Parse(Schemas.Colour)), MaxOutputTokens = 60 },
        };

        ChatResponse whole = await client.GetResponseAsync([ModelFixture.User("Which colour?")], options, None);
        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync([ModelFixture.User("Which colour?")], options, None).ToListAsync();
        ChatResponse streamed = updates.ToChatResponse();

        Assert.NotEmpty(whole.Text);
        Assert.True(updates.Count > 2);
        Assert.Equal(whole.Text, string.Concat(updates.Select(update => update.Text)));
        Assert.Equal(whole.Text, streamed.Text);
        Assert.Equal(whole.FinishReason, streamed.FinishReason);
        Assert.Equal(
            (whole.Usage!.InputTokenCount, whole.Usage.OutputTokenCount, whole.Usage.TotalTokenCount, whole.Usage.CachedInputTokenCount),
            (streamed.Usage!.InputTokenCount, streamed.Usage.OutputTokenCount, streamed.Usage.TotalTokenCount, streamed.Usage.CachedInputTokenCount));
    }

    [Fact]
    public async Task Usage_ScriptedAnswer_IsWhatTheTokenizerCounts()
    {
        EdgeModel model = fixture.Bundled;
        using EdgeChatClient client = model.AsChatClient(ModelFixture.Options);
        const string Said = "The lighthouse is forty-one metres tall.";
        int prompt = model.Tokenize(model.ApplyChatTemplate([new ChatTurn("user", "How tall?")], addAssistant: true), parseSpecial: true).Length;

        ChatResponse response = await client.GetResponseAsync(
            [ModelFixture.User("How tall?")], ModelFixture.Says(ModelFixture.Saying(model, Said)), None);

        Assert.Equal(Said, response.Text);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        Assert.Equal(prompt, response.Usage!.InputTokenCount);
        Assert.Equal(0, response.Usage.CachedInputTokenCount);
        Assert.Equal(model.Tokenize(Said).Length, response.Usage.OutputTokenCount);
        Assert.Equal(prompt + response.Usage.OutputTokenCount, response.Usage.TotalTokenCount);
    }

    [Fact]
    public async Task GetResponse_Default_IsGreedyAndSaysWhatItIs()
    {
        const string Question = "What is the name of the largest ocean?";
        using EdgeChatClient client = fixture.Bundled.AsChatClient(ModelFixture.Options);
        using EdgeSession session = fixture.Bundled.CreateSession(new SessionOptions { Threads = 1 });
        string expected = string.Concat(await session.GenerateAsync(Question, new GenerationOptions { MaxTokens = 24 }).ToListAsync());

        ChatResponse response = await client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 24 });

        Assert.Equal(expected, response.Text);
        Assert.Equal("SmolLM2-135M-Instruct.Q4_1", response.ModelId);
        Assert.NotNull(response.ResponseId);
        Assert.NotNull(response.CreatedAt);
        Assert.Null(response.ConversationId);
        Assert.Null(response.AdditionalProperties);
        ChatMessage message = Assert.Single(response.Messages);
        Assert.Equal(ChatRole.Assistant, message.Role);
    }

    [Fact]
    public async Task FinishReason_TokensUsedUp_IsLength()
    {
        using EdgeChatClient client = fixture.Bundled.AsChatClient(ModelFixture.Options);

        ChatResponse response = await client.GetResponseAsync("Tell a long story.", new ChatOptions { MaxOutputTokens = 5 });

        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.Equal(5, response.Usage!.OutputTokenCount);
    }

    [Fact]
    public async Task StopSequences_TextInTheAnswer_EndsItBefore()
    {
        EdgeModel model = fixture.Tiny;
        using EdgeChatClient client = model.AsChatClient(ModelFixture.Options);
        ChatOptions options = ModelFixture.Says(ModelFixture.Saying(model, "one STOP two"));
        options.StopSequences = ["STOP"];

        ChatResponse response = await client.GetResponseAsync([ModelFixture.User("Count.")], options, None);

        Assert.Equal("one ", response.Text);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
    }

    [Fact]
    public async Task Seed_SameAndOther_GiveTheSameAndAnotherAnswer()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);

        string first = await Answer(1);

        Assert.Equal(first, await Answer(1));
        Assert.NotEqual(first, await Answer(2));

        async Task<string> Answer(long seed) => (await client.GetResponseAsync(
            [ModelFixture.User("Hello.")], new ChatOptions { Temperature = 2, TopK = 0, TopP = 1, Seed = seed, MaxOutputTokens = 24 }, None)).Text;
    }

    [Fact]
    public async Task FrequencyPenalty_GreedyAnswerThatRepeats_RepeatsLess()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);

        int plain = await Distinct(new ChatOptions());
        int penalized = await Distinct(new ChatOptions { FrequencyPenalty = 2, PresencePenalty = 2 });

        Assert.True(plain < penalized, $"{plain} of 48 characters differ without a penalty, {penalized} with one");

        async Task<int> Distinct(ChatOptions options)
        {
            options.MaxOutputTokens = 48;
            return (await client.GetResponseAsync([ModelFixture.User("Hello.")], options, None)).Text.Distinct().Count();
        }
    }

    [Fact]
    public async Task Instructions_AndASystemMessage_AreOneSystemTurn()
    {
        EdgeModel model = fixture.Bundled;
        using EdgeChatClient client = model.AsChatClient(ModelFixture.Options);
        int expected = model.Tokenize(
            model.ApplyChatTemplate([new ChatTurn("system", "Be brief.\n\nBe kind."), new ChatTurn("user", "Hello.")], addAssistant: true), parseSpecial: true).Length;

        ChatResponse response = await client.GetResponseAsync(
            [new ChatMessage(ChatRole.System, "Be kind."), ModelFixture.User("Hello.")], new ChatOptions { Instructions = "Be brief.", MaxOutputTokens = 1 }, None);

        Assert.Equal(expected, response.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task Thoughts_BeforeTheAnswer_AreContentsOfTheirOwn()
    {
        EdgeModel model = fixture.Thinking;
        using EdgeChatClient client = model.AsChatClient(ModelFixture.Options);
        const string Said = "<think>\nIt is green.\n</think>\n\nGreen.";

        ChatResponse shown = await client.GetResponseAsync([ModelFixture.User("Colour?")], ModelFixture.Says(ModelFixture.Saying(model, Said)), None);
        ChatOptions hidden = ModelFixture.Says(ModelFixture.Saying(model, Said));
        hidden.Reasoning = new ReasoningOptions { Output = ReasoningOutput.None };
        ChatResponse without = await client.GetResponseAsync([ModelFixture.User("Colour?")], hidden, None);

        Assert.Equal("Green.", shown.Text.Trim());
        Assert.Equal("It is green.", Assert.Single(shown.Messages[0].Contents.OfType<TextReasoningContent>()).Text.Trim());
        Assert.Equal("Green.", without.Text.Trim());
        Assert.Empty(without.Messages[0].Contents.OfType<TextReasoningContent>());
    }

    [Fact]
    public void GetService_Client_GivesMetadataModelAndItself()
    {
        using EdgeChatClient client = fixture.Bundled.AsChatClient(ModelFixture.Options with { ModelId = "mine" });

        Assert.Equal(("edgekv", "mine"), (client.GetService<ChatClientMetadata>()!.ProviderName, client.GetService<ChatClientMetadata>()!.DefaultModelId));
        Assert.Same(fixture.Bundled, client.GetService<EdgeModel>());
        Assert.Same(client, client.GetService<EdgeChatClient>());
        Assert.Same(client, client.GetService<IChatClient>());
        Assert.Null(client.GetService<EdgeModel>("key"));
        Assert.Null(client.GetService<string>());
    }
}
