using System.Text.Json;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>The form of answers: the texts that end them, what they must look like, and how they are taken apart.</summary>
public sealed class AnswerFormTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

    private EdgeModel Model => fixture.Model;

    [Theory]
    [InlineData("one STOP two", "STOP", "one ")]
    [InlineData("one STOP two", " two", "one STOP")]
    [InlineData("one ST two STO STOPS", "STOP", "one ST two STO ")]
    [InlineData("aabab aabaa", "aabaa", "aabab ")]
    [InlineData("über 漢字 und", "字", "über 漢")]
    [InlineData("no stop in here ST", "STOP", "no stop in here ST")]
    public async Task Stops_TextInTheAnswer_EndsItBeforeTheText(string said, string stop, string text)
    {
        using EdgeSession session = await fixture.Reader();
        int start = session.Position;
        int[] tokens = Model.Tokenize(said);
        GenerationOptions options = new() { Sampling = Says(tokens), MaxTokens = tokens.Length, Stops = ["never", stop], KeepTurn = true };

        AnswerResult answer = await ModelFixture.Result(session, Question, options);

        Assert.Equal(text, answer.Text);
        Assert.Equal(text, Model.Detokenize([.. answer.Tokens]));
        Assert.Equal(said == text ? FinishReason.MaxTokens : FinishReason.EndOfTurn, answer.FinishReason);

        // The conversation goes on behind the text of the answer.
        Assert.Equal(answer.Tokens, session.Cache.Tokens[(start + answer.PromptTokens)..].ToArray());
        Assert.NotEmpty(await ModelFixture.Answer(session, "And its colour?"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Text_CutInsideACharacter_LeavesItOut(bool endsTurn)
    {
        using EdgeSession session = await fixture.Reader();
        int[] said = fixture.Model.Tokenize("A lion: \U000130E6");
        int[] cut = said[..^1];
        Assert.EndsWith("\uFFFD", fixture.Model.Detokenize(cut), StringComparison.Ordinal);
        int[] end = fixture.Model.Tokenize("<|im_end|>", parseSpecial: true);

        AnswerResult answer = await ModelFixture.Result(session, Question, new GenerationOptions { Sampling = Says([.. cut, .. end]), MaxTokens = endsTurn ? 99 : cut.Length });

        Assert.Equal(endsTurn ? FinishReason.EndOfTurn : FinishReason.MaxTokens, answer.FinishReason);
        Assert.Equal("A lion:", answer.Text.TrimEnd());
        Assert.DoesNotContain('\uFFFD', answer.ReadAnswer().Content);
        Assert.Equal(answer.Text, fixture.Model.Detokenize(cut, wholeCharacters: true));
        Assert.Equal("A lion: \U000130E6", fixture.Model.Detokenize(said, wholeCharacters: true));
    }

    [Fact]
    public async Task Stops_ControlToken_EndsTheAnswer()
    {
        using EdgeSession session = await fixture.Reader();
        int[] said = [.. Model.Tokenize("Yes"), .. Model.Tokenize("<|im_start|>", parseSpecial: true), .. Model.Tokenize("No")];
        GenerationOptions options = new() { Sampling = Says(said), MaxTokens = said.Length };

        Assert.Equal("YesNo", (await ModelFixture.Result(session, Question, options)).Text);
        AnswerResult answer = await ModelFixture.Result(session, Question, options with { Stops = ["<|im_start|>\n"] });

        Assert.Equal(("Yes", FinishReason.EndOfTurn), (answer.Text, answer.FinishReason));
    }

    [Fact]
    public async Task Stops_OfTheTemplate_EndTheAnswer()
    {
        using EdgeSession session = await fixture.Reader();
        ChatPrompt chat = new([], firstToken: null, answer: []) { Stops = ["<end>"] };

        AnswerResult answer = await Generate(session, chat, "Forty-one<end> and more", string.Empty);

        Assert.Equal(("Forty-one", FinishReason.EndOfTurn), (answer.Text, answer.FinishReason));
    }

    [Fact]
    public async Task Stops_LoopLeftWhileTextIsHeldBack_HaveItInTheResult()
    {
        using EdgeSession session = await fixture.Reader();
        int[] said = Model.Tokenize("one ST two STOP");
        Answer answer = session.GenerateAsync(Question, new GenerationOptions { Sampling = Says(said), Stops = ["one STOP"], MaxTokens = 2 });
        string shown = string.Empty;
        await foreach (string piece in answer)
        {
            shown += piece;
        }

        Assert.Equal(Model.Detokenize(said.AsSpan(..2)), shown);
        Assert.Equal(shown, answer.Result.Text);
    }

    [Fact]
    public async Task ReadAnswer_ThoughtsBeforeTheAnswer_AreApart()
    {
        const string Template = """
            {%- for message in messages -%}<|im_start|>{{ message.role }}
            {% if message.role == 'assistant' and message.reasoning_content %}<think>
            {{ message.reasoning_content }}
            </think>

            {% endif %}{{ message.content }}<|im_end|>
            {% endfor -%}
            {%- if add_generation_prompt %}<|im_start|>assistant
            {% endif -%}
            """;
        using EdgeSession session = await fixture.Reader();
        ChatPrompt chat = new ChatTemplate(Model.Handle, Template).Render([ChatMessage.User(Question)]);

        AnswerResult answer = await Generate(session, chat, "\nIt is green.\n</think>\n\nForty-one metres.", "<think>");

        ChatAnswer read = answer.ReadAnswer();
        Assert.Equal("Forty-one metres.", read.Content.Trim());
        Assert.Equal("It is green.", read.Reasoning.Trim());
    }

    [Fact]
    public async Task ReadAnswer_PlainAnswer_IsItsTextWithTheWordsItBeginsWith()
    {
        using EdgeSession session = await fixture.Reader();

        AnswerResult answer = await ModelFixture.Result(session, Question, new GenerationOptions { MaxTokens = 8, AnswerPrefix = "The lighthouse is" });

        Assert.Equal("The lighthouse is" + answer.Text, answer.ReadAnswer().Content);
        Assert.Empty(answer.ReadAnswer().ToolCalls);
    }

    [Fact]
    public async Task ReadAnswer_OfTokens_IsRefused()
    {
        using EdgeSession session = await fixture.Reader();
        Answer answer = session.GenerateAsync(Model.Tokenize("One, two,"), new GenerationOptions { MaxTokens = 2 });
        await foreach (string _ in answer)
        {
        }

        Assert.Contains("no chat template", Assert.Throws<InvalidOperationException>(answer.Result.ReadAnswer).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1.5)]
    public async Task Chat_JsonSchema_HoldsForTheAnswer(float temperature)
    {
        ChatTemplateOptions chat = new()
        {
            JsonSchema = """{"type":"object","properties":{"metres":{"type":"integer","maximum":999,"minimum":1},"colour":{"enum":["red","green"]}},"required":["metres","colour"],"additionalProperties":false}""",
        };
        using EdgeSession session = await fixture.Reader(ModelFixture.Options with { Chat = chat });
        GenerationOptions other = new() { AnswerPrefix = "The height" };
        Assert.Contains("AnswerPrefix", (await Assert.ThrowsAsync<ArgumentException>(() => ModelFixture.Answer(session, Question, other))).Message, StringComparison.Ordinal);
        Assert.StartsWith("41", await ModelFixture.Answer(session, Question, new GenerationOptions { MaxTokens = 2, AnswerPrefix = """{"metres": """, Sampling = null }), StringComparison.Ordinal);

        AnswerResult answer = await ModelFixture.Result(session, Question, new GenerationOptions { MaxTokens = 100, Temperature = temperature, Seed = 5 });

        Assert.Equal(FinishReason.EndOfTurn, answer.FinishReason);
        JsonElement json = JsonDocument.Parse(answer.ReadAnswer().Content).RootElement;
        Assert.InRange(json.GetProperty("metres").GetInt32(), 1, 999);
        Assert.Contains(json.GetProperty("colour").GetString(), (string[])["red", "green"]);
    }

    [Theory]
    [InlineData("""{"type":"object","properties":{"summary":{"type":"string","maxLength":4000}},"required":["summary"]}""", "grammar")]
    [InlineData("""{"type":"string","minLength":3000}""", "grammar")]
    [InlineData("""{"type":"string","minLength":9,"maxLength":3}""", "grammar")]
    [InlineData("""{"type":"array","minItems":5,"maxItems":2,"items":{"type":"integer"}}""", "grammar")]
    [InlineData("""{"type":"string","pattern":"^a{5,2}$"}""", "grammar")]
    [InlineData("""{"anyOf":[]}""", "grammar")]
    [InlineData("""{"type":"string","pattern":"abc"}""", "Pattern must start with")]
    public void Chat_JsonSchemaThatHasNoGrammar_IsRefusedWithTheReason(string schema, string reason)
    {
        ChatTemplate template = new(Model.Weights!.NativeHandle);
        EdgeKVException refusal = Assert.ThrowsAny<EdgeKVException>(() => template.Render([ChatMessage.User("Hello.")], new ChatTemplateOptions { JsonSchema = schema }));
        Assert.Contains(reason, refusal.Message, StringComparison.Ordinal);
        Assert.ThrowsAny<EdgeKVException>(() => Model.CreateSession(ModelFixture.Options with { Chat = new ChatTemplateOptions { JsonSchema = schema } }).PrefillAsync("A text.").GetAwaiter().GetResult());
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("\"text\"")]
    [InlineData("{\"type\":")]
    public void Chat_JsonSchemaThatIsNoObject_IsRefusedByName(string schema)
    {
        ChatTemplate template = new(Model.Weights!.NativeHandle);
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => template.Render([ChatMessage.User("Hello.")], new ChatTemplateOptions { JsonSchema = schema }));
        Assert.Contains("JsonSchema", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GenerateAsync_TokensOfAPrompt_KeepToItsFormAndAreTakenApart()
    {
        using EdgeSession session = await fixture.Reader();
        ChatTemplateOptions options = new() { JsonSchema = """{"type":"object","properties":{"open":{"type":"boolean"}},"required":["open"],"additionalProperties":false}""" };
        ChatPrompt prompt = new ChatTemplate(Model.Handle).Render([ChatMessage.User(ModelFixture.Document, Question)], options);
        int[] last = prompt.CutAfter(message: 0, part: 0).After.Tokenize((text, parseSpecial) => Model.Tokenize(text, addSpecial: false, parseSpecial));

        AnswerResult answer = await Result(session.Kv!.GenerateAsync(last, prompt, new GenerationOptions { MaxTokens = 60, FrequencyPenalty = 0.5f }));

        Assert.Equal(FinishReason.EndOfTurn, answer.FinishReason);
        Assert.Contains(JsonElement.Parse(answer.ReadAnswer().Content).GetProperty("open").ValueKind, (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]);
        Assert.Throws<ArgumentException>(() => { session.Kv!.GenerateAsync(ReadOnlyMemory<int>.Empty, prompt); });
        Assert.Throws<ArgumentNullException>(() => { session.Kv!.GenerateAsync(last, prompt: null!); });
    }

    [Theory]
    [InlineData(false, "YesNo")]
    [InlineData(true, "Yes<|im_start|>No")]
    public async Task WriteControlTokens_TokenThatEndsNothing_IsText(bool writes, string text)
    {
        using EdgeSession session = await fixture.Reader();
        int[] said = [.. Model.Tokenize("Yes"), .. Model.Tokenize("<|im_start|>", parseSpecial: true), .. Model.Tokenize("No STOP")];

        AnswerResult answer = await ModelFixture.Result(
            session, Question, new GenerationOptions { Sampling = Says(said), MaxTokens = said.Length, Stops = [" STOP"], WriteControlTokens = writes });

        Assert.Equal(text, answer.Text);
        Assert.Equal(said[..^Model.Tokenize(" STOP").Length], answer.Tokens);
    }

    [Theory]
    [InlineData(-2.5f, 0)]
    [InlineData(0, 2.5f)]
    [InlineData(float.NaN, 0)]
    public async Task Penalties_OutOfTheirRange_AreRefused(float frequency, float presence)
    {
        using EdgeSession session = await fixture.Reader();
        Assert.Throws<ArgumentOutOfRangeException>(
            () => { session.GenerateAsync(Question, new GenerationOptions { FrequencyPenalty = frequency, PresencePenalty = presence }); });
    }

    private static async Task<AnswerResult> Result(Answer answer)
    {
        await foreach (string _ in answer)
        {
        }

        return answer.Result;
    }

    private async Task<AnswerResult> Generate(EdgeSession session, ChatPrompt chat, string says, string prefix)
    {
        int[] prompt = Model.TokenizeQuestion(Question, prefix);
        int[] tokens = Model.Tokenize(says);
        Answer answer = new(
            () => Task.FromResult(new AnswerScope(session.Kv!)),
            _ => new AnswerPrompt(prompt) { Chat = chat, Prefix = prefix },
            new GenerationOptions { Sampling = Says([.. tokens, .. Model.Tokenize("<|im_end|>", parseSpecial: true)]), MaxTokens = 100 },
            CancellationToken.None);
        await foreach (string _ in answer)
        {
        }

        return answer.Result;
    }

    private static Scripted Says(int[] tokens) => new Scripted { Tokens = tokens };
}
