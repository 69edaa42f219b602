using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>Many callers, one engine: order, cancelling, disposing.</summary>
public sealed class QueueTests(ModelFixture fixture)
{
    private const int Callers = 16;
    private const int Long = 5000;

    private static readonly ChatMessage[] Hello = [ModelFixture.User("Hello.")];

    [Fact]
    public async Task GetResponse_SixteenAtOnce_AnswersAsOneAfterTheOther()
    {
        using EdgeChatClient client = fixture.Bundled.AsChatClient(ModelFixture.Options with { MaxContexts = 3 });
        string[] questions = [.. Enumerable.Range(0, Callers).Select(i => $"What is {i} plus {i + 1}? Answer in a sentence.")];
        List<string> serial = [];
        foreach (string question in questions)
        {
            serial.Add((await client.GetResponseAsync(question)).Text);
        }

        ChatResponse[] together = await Task.WhenAll(questions.Select(question => Task.Run(() => client.GetResponseAsync(question))));

        Assert.Equal(serial, together.Select(response => response.Text));
        Assert.Equal(Callers, together.Select(response => response.ResponseId).Distinct().Count());
        Assert.InRange(client.Caches.Count, 1, 3);
        Assert.True(serial.Distinct().Count() > 1);
    }

    [Fact]
    public async Task Cancel_AnswerThatRuns_FreesTheQueueWithinOneToken()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        using CancellationTokenSource stop = new();
        Scripted script = new([], pick =>
        {
            if (pick == 3)
            {
                stop.Cancel();
            }
        });
        ChatOptions options = ModelFixture.Says(script, maxTokens: 500);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.GetResponseAsync(Hello, options, stop.Token));

        Assert.Equal(3, script.Picked);
        Assert.Equal(8, (await client.GetResponseAsync(Hello)).Usage!.OutputTokenCount);
    }

    [Fact]
    public async Task Stream_LeftByItsReader_FreesTheQueue()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        using ManualResetEventSlim left = new();
        Scripted script = new([], pick => Assert.True(pick < 3 || left.Wait(TimeSpan.FromMinutes(2))));
        Task<ChatResponse>? next = null;
        await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync(Hello, ModelFixture.Says(script, maxTokens: Long)))
        {
            next = client.GetResponseAsync(Hello);
            left.Set();
            break;
        }

        Assert.Equal(8, (await next!).Usage!.OutputTokenCount);
        Assert.True(script.Picked < Long);
    }

    [Fact]
    public async Task Stream_WhoseReaderIsSlow_DoesNotHoldTheQueue()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        List<string> read = [];
        await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync(Hello))
        {
            read.Add(update.Text);
            if (read.Count == 1)
            {
                Assert.Equal(8, (await client.GetResponseAsync(Hello)).Usage!.OutputTokenCount);
            }
        }

        Assert.Equal((await client.GetResponseAsync(Hello)).Text, string.Concat(read));
    }

    [Fact]
    public async Task Cancel_RequestThatWaits_TakesItOutOfTheQueue()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        await using Held held = await Held.By(client);
        using CancellationTokenSource stop = new();
        Scripted script = new([]);
        Task<ChatResponse> waits = client.GetResponseAsync(Hello, ModelFixture.Says(script), stop.Token);
        await Queued(client, 1);

        await stop.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waits);
        Assert.Equal(stop.Token, cancelled.CancellationToken);
        Assert.Equal(0, client.Waiting);
        Assert.Equal(0, script.Picked);
    }

    [Fact]
    public async Task Queue_SeveralThatWait_AreAnsweredInTheirOrder()
    {
        using EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        List<int> order = [];
        List<Task> waiting = [];
        await using (await Held.By(client))
        {
            for (int i = 0; i < 4; i++)
            {
                int number = i;
                Scripted script = new([], pick =>
                {
                    if (pick == 1)
                    {
                        order.Add(number);
                    }
                });
                waiting.Add(client.GetResponseAsync(Hello, ModelFixture.Says(script, maxTokens: 2)));
                await Queued(client, i + 1);
            }
        }

        await Task.WhenAll(waiting);

        Assert.Equal([0, 1, 2, 3], order);
    }

    [Fact]
    public async Task Dispose_WhileOneRunsAndOneWaits_EndsBoth()
    {
        EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        Held held = await Held.By(client, Long);
        Task<ChatResponse> waits = client.GetResponseAsync(Hello);
        await Queued(client, 1);

        Task disposed = client.DisposeAsync().AsTask();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waits);
        await Assert.ThrowsAsync<ObjectDisposedException>(held.End);
        await disposed;

        Assert.Empty(client.Caches);
        Assert.InRange(held.Picked, 1, Long - 1);
    }

    [Fact]
    public async Task Dispose_Twice_RefusesCallsAndLeavesTheModel()
    {
        EdgeChatClient client = fixture.Tiny.AsChatClient(ModelFixture.Options);
        IAsyncEnumerable<ChatResponseUpdate> late = client.GetStreamingResponseAsync(Hello);

        client.Dispose();
        client.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.GetResponseAsync(Hello));
        Assert.Throws<ObjectDisposedException>(() => { client.GetStreamingResponseAsync(Hello); });
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await late.ToListAsync());
        Assert.NotEmpty(fixture.Tiny.Tokenize("The model is whole."));
    }

    [Fact]
    public void Dispose_ClientThatOwnsItsModel_DisposesTheModel()
    {
        EdgeKV.Models.EdgeModel model = EdgeKV.Models.EdgeModel.Load(fixture.Tiny.Path);

        new EdgeChatClient(model, ModelFixture.Options, ownsModel: true).Dispose();

        Assert.Throws<ObjectDisposedException>(() => model.Tokenize("Gone."));
    }

    private static async Task Queued(EdgeChatClient client, int requests)
    {
        while (client.Waiting < requests)
        {
            await Task.Yield();
        }
    }

    /// <summary>An answer that holds the engine until it is ended.</summary>
    private sealed class Held : IAsyncDisposable
    {
        private readonly TaskCompletionSource _runs = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly ManualResetEventSlim _end = new();
        private readonly Scripted _script;
        private readonly Task _answer;

        private Held(EdgeChatClient client, int maxTokens)
        {
            _script = new Scripted([], _ =>
            {
                _runs.TrySetResult();
                Assert.True(_end.Wait(TimeSpan.FromMinutes(2)));
            });
            _answer = client.GetResponseAsync(Hello, ModelFixture.Says(_script, maxTokens));
        }

        public int Picked => _script.Picked;

        public static async Task<Held> By(EdgeChatClient client, int maxTokens = 5)
        {
            Held held = new(client, maxTokens);
            await held._runs.Task;
            return held;
        }

        public Task End()
        {
            _end.Set();
            return _answer;
        }

        public async ValueTask DisposeAsync()
        {
            await End();
            _end.Dispose();
        }
    }
}
