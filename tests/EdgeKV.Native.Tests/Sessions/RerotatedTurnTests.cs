using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Conversations that go on after their rows were given new positions: as they would have gone on without that.</summary>
public sealed class RerotatedTurnTests(ModelFixture fixture)
{
    private const string Closed = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\nRed";
    private const string Next = "Another one.";

    private static readonly CompressOptions Closing = new() { Rerotate = true };
    private static readonly GenerationOptions Keep = new() { MaxTokens = 4, KeepTurn = true };

    private EdgeModel Model => fixture.Model;

    public static TheoryData<string, string, ConversationTurn> Conversations
    {
        get
        {
            TheoryData<string, string, ConversationTurn> rows = [];
            foreach (string policy in (string[])["streaming", "keydiff"])
            {
                rows.Add(policy, Closed + "<|im_end|>\n", ConversationTurn.Ended);
                rows.Add(policy, Closed + "<|im_end|>", ConversationTurn.Ended);
                rows.Add(policy, Closed, ConversationTurn.Assistant);
                rows.Add(policy, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nName a colour. ", ConversationTurn.User);
                rows.Add(policy, "Once upon a time. ", ConversationTurn.Plain);
            }

            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Conversations))]
    public async Task GenerateAsync_Rerotated_AsksWithTheSameTokens(string policy, string conversation, ConversationTurn turn)
    {
        (EdgeSession still, EdgeSession moved) = await Pair(conversation, policy);
        using (still)
        using (moved)
        {
            int before = still.Position;
            int after = moved.Position;
            Assert.True(after < before);
            Assert.Equal((turn, turn), (still.Cache.Turn, moved.Cache.Turn));

            AnswerResult expected = await ModelFixture.Result(still, Next, Keep);
            AnswerResult actual = await ModelFixture.Result(moved, Next, Keep);

            Assert.Equal(expected.PromptTokens, actual.PromptTokens);
            Assert.Equal(
                still.Cache.Tokens.Slice(before, expected.PromptTokens).ToArray(), moved.Cache.Tokens.Slice(after, actual.PromptTokens).ToArray());
            Assert.Equal(ConversationTurn.Assistant, moved.Cache.Turn);
        }
    }

    [Theory]
    [InlineData("<|im_end|>\n")]
    [InlineData("<|im_end|>")]
    public async Task GenerateAsync_TurnEndedAfterRerotation_DoesNotEndItAgain(string ending)
    {
        (EdgeSession still, EdgeSession moved) = await Pair(Closed, "streaming");
        using (still)
        using (moved)
        {
            int[] end = Model.Tokenize(ending, parseSpecial: true);
            still.Decode(end);
            moved.Decode(end);
            Assert.Equal((ConversationTurn.Ended, ConversationTurn.Ended), (still.Cache.Turn, moved.Cache.Turn));

            Assert.Equal((await ModelFixture.Result(still, Next)).PromptTokens, (await ModelFixture.Result(moved, Next)).PromptTokens);
        }
    }

    [Fact]
    public async Task GenerateAsync_RerotatedTwiceAndLoaded_AsksWithTheSameTokens()
    {
        (EdgeSession still, EdgeSession moved) = await Pair(Closed + "<|im_end|>\n", "streaming");
        using (still)
        using (moved)
        {
            await moved.CompressAsync(new StreamingLLM { Ratio = 0.1 }, Closing);
            using MemoryStream saved = new();
            await moved.SaveAsync(saved);
            using EdgeSession loaded = Model.CreateSession(ModelFixture.Options);
            saved.Position = 0;
            await loaded.LoadAsync(saved);

            int expected = (await ModelFixture.Result(still, Next)).PromptTokens;
            Assert.Equal(expected, (await ModelFixture.Result(moved, Next)).PromptTokens);
            Assert.Equal(expected, (await ModelFixture.Result(loaded, Next)).PromptTokens);
            Assert.Equal(moved.Cache.Tokens.ToArray(), loaded.Cache.Tokens.ToArray());
        }
    }

    [Fact]
    public async Task Tokens_RowsOfTheSameTokensInEveryHead_AreKnown()
    {
        (EdgeSession still, EdgeSession moved) = await Pair(Closed + "<|im_end|>\n", "streaming");
        using (still)
        using (moved)
        {
            int[] all = still.Cache.Tokens.ToArray();
            int[] kept = moved.Cache.Tokens.ToArray();

            // The first four tokens and the latest ones.
            Assert.Equal([.. all[..4], .. all[^(kept.Length - 4)..]], kept);
        }
    }

    [Fact]
    public async Task Turn_EmptiedByLLamaSharp_IsThatOfTheNewTokens()
    {
        (EdgeSession still, EdgeSession moved) = await Pair(Closed, "keydiff");
        using (still)
        using (moved)
        {
            moved.Context!.NativeHandle.MemoryClear();
            moved.Decode(Model.Tokenize("Once upon a time there was a harbour."));

            Assert.Equal(ConversationTurn.Plain, moved.Cache.Turn);
        }
    }

    /// <summary>A conversation as it was read, and with rows of it at new positions.</summary>
    private async Task<(EdgeSession Still, EdgeSession Moved)> Pair(string conversation, string policy)
    {
        EdgeSession still = Model.CreateSession(ModelFixture.Options);
        EdgeSession moved = Model.CreateSession(ModelFixture.Options);
        int[] tokens = Model.Tokenize(conversation, parseSpecial: true);
        await still.PrefillAsync(tokens);
        await moved.PrefillAsync(tokens);
        ICompressionPolicy one = policy == "streaming" ? new StreamingLLM { Ratio = 0.2 } : new KeyDiff { Ratio = 0.5 };
        await moved.CompressAsync(one, Closing);
        return (still, moved);
    }
}
