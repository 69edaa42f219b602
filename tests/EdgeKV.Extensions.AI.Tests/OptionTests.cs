using EdgeKV.Planning;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>What cannot be done is refused by name, before anything is read.</summary>
public sealed class OptionTests(ModelFixture fixture)
{
    public static TheoryData<string, string> Unsupported => new()
    {
        { "model", "another" },
        { "background", "AllowBackgroundResponses" },
        { "continuation", "ContinuationToken" },
        { "property", "logit_bias" },
        { "hosted tool", "web_search" },
        { "raw", "String" },
        { "summary", "Summary" },
        { "effort", "ExtraHigh" },
        { "json and tools", "ToolMode" },
        { "sampling twice", "RawRepresentationFactory" },
        { "prefix", "AnswerPrefix" },
        { "grammar and pipeline", "RawRepresentationFactory" },
    };

    public static TheoryData<string, string> Wrong => new()
    {
        { "temperature", "Temperature" },
        { "nan", "Temperature" },
        { "top-p", "TopP" },
        { "top-k", "TopK" },
        { "min-p", "min_p" },
        { "min-p text", "min_p" },
        { "store", "edgekv.store" },
        { "tokens", "MaxOutputTokens" },
        { "seed", "Seed" },
        { "frequency", "FrequencyPenalty" },
        { "presence", "PresencePenalty" },
        { "stop", "StopSequences" },
        { "required", "ToolMode" },
        { "named", "missing" },
        { "twins", "twin" },
    };

    public static TheoryData<string, string> Contents => new()
    {
        { "image", "image/png" },
        { "uri", "UriContent" },
        { "role", "critic" },
        { "error", "ErrorContent" },
        { "document of the assistant", "a document" },
        { "text of a tool", "TextContent" },
        { "charset", "latin-1" },
    };

    [Theory]
    [MemberData(nameof(Unsupported))]
    public async Task Options_ThatCannotBeDone_AreRefusedByName(string kind, string named)
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options);
        AIFunction tool = AIFunctionFactory.Create(() => 1, "twin");
        ChatOptions options = kind switch
        {
            "model" => new ChatOptions { ModelId = "another" },
            "background" => new ChatOptions { AllowBackgroundResponses = true },
            "continuation" => new ChatOptions { ContinuationToken = ResponseContinuationToken.FromBytes(new byte[] { 1 }) },
            "property" => new ChatOptions { AdditionalProperties = new() { ["logit_bias"] = 1 } },
            "hosted tool" => new ChatOptions { Tools = [new HostedWebSearchTool()] },
            "raw" => new ChatOptions { RawRepresentationFactory = _ => "text" },
            "summary" => new ChatOptions { Reasoning = new ReasoningOptions { Output = ReasoningOutput.Summary } },
            "effort" => new ChatOptions { Reasoning = new ReasoningOptions { Effort = ReasoningEffort.ExtraHigh } },
            "json and tools" => new ChatOptions { Tools = [tool], ResponseFormat = ChatResponseFormat.Json },
            "sampling twice" => Scripted(options => options.Temperature = 1),
            "prefix" => new ChatOptions { RawRepresentationFactory = _ => new Generation.GenerationOptions { AnswerPrefix = "Well" } },
            _ => Scripted(options => options.ResponseFormat = ChatResponseFormat.Json),
        };

        NotSupportedException refusal = await Assert.ThrowsAsync<NotSupportedException>(() => Ask(client, options));

        Assert.Contains(named, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refusal.Message);
        Assert.Empty(client.Caches);
    }

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task Options_OutOfTheirRange_AreArgumentErrors(string kind, string named)
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options);
        AIFunction tool = AIFunctionFactory.Create(() => 1, "twin");
        ChatOptions options = kind switch
        {
            "temperature" => new ChatOptions { Temperature = -1 },
            "nan" => new ChatOptions { Temperature = float.NaN },
            "top-p" => new ChatOptions { TopP = 1.5f },
            "top-k" => new ChatOptions { TopK = -1 },
            "min-p" => new ChatOptions { AdditionalProperties = new() { ["min_p"] = 1.5 } },
            "min-p text" => new ChatOptions { AdditionalProperties = new() { ["min_p"] = "high" } },
            "store" => new ChatOptions { AdditionalProperties = new() { [EdgeChatProperties.Store] = 3 } },
            "tokens" => new ChatOptions { MaxOutputTokens = 0 },
            "seed" => new ChatOptions { Seed = -1 },
            "frequency" => new ChatOptions { FrequencyPenalty = 3 },
            "presence" => new ChatOptions { PresencePenalty = -3 },
            "stop" => new ChatOptions { StopSequences = [""] },
            "required" => new ChatOptions { ToolMode = ChatToolMode.RequireAny },
            "named" => new ChatOptions { Tools = [tool], ToolMode = ChatToolMode.RequireSpecific("missing") },
            _ => new ChatOptions { Tools = [tool, tool] },
        };

        ArgumentException refusal = await Assert.ThrowsAnyAsync<ArgumentException>(() => Ask(client, options));

        Assert.Contains(named, refusal.Message, StringComparison.Ordinal);
        Assert.Empty(client.Caches);
    }

    [Theory]
    [MemberData(nameof(Contents))]
    public async Task Contents_ThatNoTextModelTakes_AreRefusedByName(string kind, string named)
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatMessage message = kind switch
        {
            "image" => new ChatMessage(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")]),
            "uri" => new ChatMessage(ChatRole.User, [new UriContent("https://example.org/a.txt", "text/plain")]),
            "role" => new ChatMessage(new ChatRole("critic"), "No."),
            "error" => new ChatMessage(ChatRole.Assistant, [new ErrorContent("no")]),
            "document of the assistant" => new ChatMessage(ChatRole.Assistant, [ModelFixture.DocumentText("A text.")]),
            "text of a tool" => new ChatMessage(ChatRole.Tool, "A text."),
            _ => new ChatMessage(ChatRole.User, [new DataContent(new byte[] { 65 }, "text/plain;charset=latin-1")]),
        };

        NotSupportedException refusal = await Assert.ThrowsAsync<NotSupportedException>(() => client.GetResponseAsync([ModelFixture.User("a"), message]));

        Assert.Contains(named, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Messages_None_AreAnArgumentError()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);

        await Assert.ThrowsAsync<ArgumentException>(() => client.GetResponseAsync([]));
        await Assert.ThrowsAsync<ArgumentNullException>(() => client.GetResponseAsync((IEnumerable<ChatMessage>)null!));
        await Assert.ThrowsAsync<ArgumentNullException>(() => client.GetResponseAsync([null!]));
    }

    [Fact]
    public async Task Template_ThatDoesNotKnowIt_RefusesByName()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatOptions tools = new() { Tools = [AIFunctionFactory.Create(() => 1, "f")] };
        ChatOptions thinking = new() { Reasoning = new ReasoningOptions { Effort = ReasoningEffort.High } };

        Assert.Contains("tools", (await Assert.ThrowsAsync<NotSupportedException>(() => Ask(client, tools))).Message, StringComparison.Ordinal);
        Assert.Contains("thinking", (await Assert.ThrowsAsync<NotSupportedException>(() => Ask(client, thinking))).Message, StringComparison.Ordinal);
        Assert.Equal(ChatFinishReason.Length, (await Ask(client, new ChatOptions { Reasoning = new ReasoningOptions { Effort = ReasoningEffort.None } })).FinishReason);
    }

    [Theory]
    [InlineData(ReasoningEffort.None)]
    [InlineData(ReasoningEffort.High)]
    public async Task Reasoning_TemplateThatKnowsThoughts_IsTaken(ReasoningEffort effort)
    {
        using EdgeChatClient client = fixture.Thinking.AsChatClient(ModelFixture.Options);

        Assert.Equal(8, (await Ask(client, new ChatOptions { Reasoning = new ReasoningOptions { Effort = effort, Output = ReasoningOutput.Full } })).Usage!.OutputTokenCount);
    }

    [Fact]
    public void ClientOptions_OutOfTheirRange_AreRefused()
    {
        EdgeChatClientOptions options = ModelFixture.Options;
        EdgeChatClientOptions[] wrong =
        [
            options with { MaxContexts = 0 }, options with { MaxConversations = 0 }, options with { MinDocumentTokens = 0 }, options with { MinTurnTokens = 0 }, options with { DefaultMaxOutputTokens = 0 },
            options with { Threads = -1 }, options with { Threads = Sessions.SessionOptions.MostThreads + 1 }, options with { ContextSize = -1 }, options with { ContextSize = fixture.Tiny.Window + 1 }, options with { CacheType = (EdgeKV.Models.KvCacheType)99 },
        ];

        Assert.All(wrong, each => Assert.ThrowsAny<ArgumentException>(() => fixture.Tiny.AsChatClient(each)));
        Assert.Equal(Budget.FromRatio(0.8), options.Budget);
    }

    private static ChatOptions Scripted(Action<ChatOptions> more)
    {
        ChatOptions options = ModelFixture.Says(new Scripted([]));
        more(options);
        return options;
    }

    private static Task<ChatResponse> Ask(EdgeChatClient client, ChatOptions options)
    {
        // As the call itself, refusals come before the answer is awaited: both ways end here.
        return Task.Run(() => client.GetResponseAsync([ModelFixture.User("Hello.")], options));
    }
}
