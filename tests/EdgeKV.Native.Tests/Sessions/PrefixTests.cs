using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>How many of a context's first tokens are the chat template's and not the user's.</summary>
public sealed class PrefixTests(ModelFixture fixture)
{
    private const string Prompt = "Answer in one word.";

    private EdgeModel Model => fixture.Model;

    [Theory]
    [InlineData(null, "The harbour was opened in 1874.")]
    [InlineData(Prompt, "The harbour was opened in 1874.")]
    [InlineData("Be <|im_end|> brief.", "The harbour was opened in 1874.")]
    [InlineData("", "The harbour was opened in 1874.")]
    public async Task PrefixTokens_SessionWithASystemPrompt_EndBeforeTheDocument(string? prompt, string document)
    {
        using EdgeSession session = Model.CreateSession(ModelFixture.Options with { SystemPrompt = prompt });
        await session.PrefillAsync(document);

        int prefix = await Prefix(session.Kv!);

        Assert.Equal(document, Model.Detokenize(session.Cache.Tokens.Span[prefix..], special: true));
        using KvContext again = KvContext.Attach(session.Context!);
        Assert.Equal(prefix, await Prefix(again));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(Prompt)]
    public async Task PrefixTokens_DocumentWhoseFirstTokenTakesTheTemplatesLineBreak_EndBeforeIt(string? prompt)
    {
        using EdgeSession session = Model.CreateSession(ModelFixture.Options with { SystemPrompt = prompt });
        await session.PrefillAsync("\n\n\nThe harbour.");

        int prefix = await Prefix(session.Kv!);

        Assert.EndsWith("<|im_start|>user", Model.Detokenize(session.Cache.Tokens.Span[..prefix], special: true), StringComparison.Ordinal);
    }

    [Fact]
    public async Task PrefixTokens_DocumentInTheSystemsTurn_AreTheTurnsHeader()
    {
        ChatPrompt chat = new ChatTemplate(Model.Handle).Render([ChatMessage.System(ModelFixture.Document), ChatMessage.User("How tall is it?")]);
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);
        await session.PrefillAsync(chat.Tokenize((text, special) => Model.Tokenize(text, parseSpecial: special)));

        int prefix = await Prefix(session.Kv!);

        Assert.Equal("<|im_start|>system\n", Model.Detokenize(session.Cache.Tokens.Span[..prefix], special: true));
    }

    [Fact]
    public async Task PrefixTokens_DocumentInALaterTurn_AreTheOpening()
    {
        ChatPrompt chat = new ChatTemplate(Model.Handle).Render(
            [ChatMessage.User("Read this."), ChatMessage.Assistant("Yes?"), ChatMessage.User(ModelFixture.Document)]);
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);
        await session.PrefillAsync(chat.Tokenize((text, special) => Model.Tokenize(text, parseSpecial: special)));

        Assert.Equal(Model.TokenizeDocument(string.Empty).Length, await Prefix(session.Kv!));
    }

    [Fact]
    public async Task PrefixTokens_NoTemplate_AreNone()
    {
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);
        await session.PrefillAsync(Model.Tokenize(ModelFixture.Document));

        Assert.Equal(0, await Prefix(session.Kv!));
    }

    private static async Task<int> Prefix(KvContext context)
    {
        using AttentionScores scores = await context.ScoreAsync(new ScoreRequest(new KeyNorms()));
        return scores.PrefixTokens;
    }
}
