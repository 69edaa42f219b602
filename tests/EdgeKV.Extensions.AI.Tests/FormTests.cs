using System.Text.Json;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>Answers in JSON, and calls of tools.</summary>
public sealed class FormTests(ModelFixture fixture)
{
    private const string Call = "<tool_call>{\"name\": \"height\", \"arguments\": {\"building\": \"lighthouse\"}}</tool_call>";

    public static TheoryData<string> Bounded => [Schemas.Colour, Schemas.Nested, Schemas.Text];

    [Theory]
    [MemberData(nameof(Bounded))]
    public async Task JsonSchema_ManySeeds_AlwaysGivesJsonOfTheSchema(string schema)
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options with { DefaultMaxOutputTokens = 400 });
        for (int seed = 0; seed < 12; seed++)
        {
            ChatOptions options = new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(Schemas.Parse(schema)), Temperature = 1.5f, Seed = seed, FrequencyPenalty = seed % 2 };

            ChatResponse response = await client.GetResponseAsync([ModelFixture.User("Say something.")], options);

            Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
            JsonElement json = JsonElement.Parse(response.Text);
            JsonElement properties = Schemas.Parse(schema).GetProperty("properties");
            Assert.Equal(properties.EnumerateObject().Select(property => property.Name).Order(), json.EnumerateObject().Select(property => property.Name).Order());
            Check(properties, json);
        }
    }

    [Fact]
    public async Task Json_WithoutASchema_IsAnObject()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options with { DefaultMaxOutputTokens = 100 });

        ChatResponse response = await client.GetResponseAsync([ModelFixture.User("JSON?")], new ChatOptions { ResponseFormat = ChatResponseFormat.Json });

        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);

        Assert.Equal(JsonValueKind.Object, JsonElement.Parse(response.Text).ValueKind);
    }

    [Fact]
    public async Task JsonSchema_ThatHasNoGrammar_IsRefusedAndTheClientGoesOn()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        ChatOptions options = new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(Schemas.Parse("""{"type":"string","minLength":9,"maxLength":3}""")) };

        Assert.Contains("grammar", (await Assert.ThrowsAnyAsync<EdgeKVException>(() => client.GetResponseAsync([ModelFixture.User("?")], options))).Message, StringComparison.Ordinal);
        Assert.NotEmpty((await client.GetResponseAsync("Hello.")).Text);
    }

    [Fact]
    public async Task Tools_CallInTheAnswer_IsAContentAndTheFinishReason()
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options);
        ChatOptions options = ModelFixture.Says(ModelFixture.Saying(fixture.Tools, "Let me see.\n" + Call));
        options.Tools = [Height()];

        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync([ModelFixture.User("How tall?")], options).ToListAsync();
        ChatResponse response = updates.ToChatResponse();

        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
        Assert.Equal("Let me see.", response.Text.Trim());
        FunctionCallContent call = Assert.Single(response.Messages[0].Contents.OfType<FunctionCallContent>());
        Assert.Equal(("height", "lighthouse"), (call.Name, call.Arguments!["building"]?.ToString()));
        Assert.NotEmpty(call.CallId);

        // Text before the call is handed on as it comes.
        Assert.True(updates.Count(update => update.Text.Length > 0) > 3);
    }

    [Fact]
    public async Task Tools_CallThatIsCutOff_IsLeftOut()
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options);
        ChatOptions options = ModelFixture.Says(ModelFixture.Saying(fixture.Tools, Call), maxTokens: 40);
        options.Tools = [Height()];

        ChatResponse response = await client.GetResponseAsync([ModelFixture.User("How tall?")], options);

        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.Empty(response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>());
        Assert.Empty(response.Text);
    }

    [Fact]
    public async Task Tools_CallThatIsMalformed_IsText()
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options);
        const string Said = "Well. <tool_call>{\"name\": 7";
        ChatOptions options = ModelFixture.Says(ModelFixture.Saying(fixture.Tools, Said));
        options.Tools = [Height()];

        ChatResponse response = await client.GetResponseAsync([ModelFixture.User("How tall?")], options);

        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        Assert.Equal(Said, response.Text);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ToolMode_Required_NeverEndsWithoutACall(bool byName)
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options with { DefaultMaxOutputTokens = 600 });
        int called = 0;
        for (int seed = 0; seed < 8; seed++)
        {
            ChatOptions options = new()
            {
                Tools = [Height(), Declared("colour", Schemas.Colour)],
                ToolMode = byName ? ChatToolMode.RequireSpecific("colour") : ChatToolMode.RequireAny,
                Temperature = 2,
                TopK = 0,
                TopP = 1,
                Seed = seed,
            };

            ChatResponse response = await client.GetResponseAsync([ModelFixture.User("How tall?")], options);

            // A model of random weights talks on until it happens to begin a call.
            Assert.Contains(response.FinishReason!.Value, (ChatFinishReason[])[ChatFinishReason.ToolCalls, ChatFinishReason.Length]);
            called += response.FinishReason == ChatFinishReason.ToolCalls ? 1 : 0;
            foreach (FunctionCallContent call in response.Messages[0].Contents.OfType<FunctionCallContent>())
            {
                Assert.Contains(call.Name, byName ? (string[])["colour"] : ["height", "colour"]);
                Assert.Contains(call.Arguments!.Values.Single()!.ToString(), (string[])["lighthouse", "tower", "red", "green"]);
            }
        }

        Assert.True(called > 0, "no answer came to a call");
    }

    [Fact]
    public async Task ToolMode_None_LeavesCallsAsText()
    {
        using EdgeChatClient client = fixture.Tools.AsChatClient(ModelFixture.Options);
        ChatOptions options = ModelFixture.Says(ModelFixture.Saying(fixture.Tools, "No call."));
        options.Tools = [Height()];
        options.ToolMode = ChatToolMode.None;

        ChatResponse response = await client.GetResponseAsync([ModelFixture.User("How tall?")], options);

        Assert.Equal(("No call.", ChatFinishReason.Stop), (response.Text, response.FinishReason));
    }

    internal static AIFunctionDeclaration Height() => Declared(
        "height", """{"type":"object","properties":{"building":{"enum":["lighthouse","tower"]}},"required":["building"],"additionalProperties":false}""");

    private static AIFunctionDeclaration Declared(string name, string schema) => AIFunctionFactory.CreateDeclaration(name, "A function.", Schemas.Parse(schema));

    private static void Check(JsonElement properties, JsonElement json)
    {
        foreach (JsonProperty property in properties.EnumerateObject())
        {
            JsonElement value = json.GetProperty(property.Name);
            if (property.Value.TryGetProperty("enum", out JsonElement allowed))
            {
                Assert.Contains(value.GetString(), allowed.EnumerateArray().Select(each => each.GetString()));
                continue;
            }

            switch (property.Value.GetProperty("type").GetString())
            {
                case "object":
                    Check(property.Value.GetProperty("properties"), value);
                    break;
                case "array":
                    Assert.InRange(value.GetArrayLength(), 1, 3);
                    break;
                case "integer":
                    Assert.InRange(value.GetInt32(), 1, 99);
                    break;
                case "string":
                    Assert.InRange(value.GetString()!.Length, 0, 12);
                    break;
                default:
                    Assert.Contains(value.ValueKind, (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]);
                    break;
            }
        }
    }
}
