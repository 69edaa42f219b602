using System.Diagnostics;
using System.Text.Json;
using EdgeKV.Generation;
using EdgeKV.Models;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>The client below the middleware of Microsoft.Extensions.AI.</summary>
public sealed class MiddlewareTests(ModelFixture fixture)
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public async Task FunctionInvocation_ModelThatCalls_GetsTheResultAndAnswers(bool streams, bool stores)
    {
        EdgeModel model = fixture.Tools;
        using EdgeChatClient inner = model.AsChatClient(ModelFixture.Options);
        using IChatClient client = new ChatClientBuilder(inner).UseFunctionInvocation().Build();
        Queue<string> answers = new(["<tool_call>{\"name\": \"height\", \"arguments\": {\"building\": \"lighthouse\"}}</tool_call>", "It is 41 metres tall."]);
        List<string> asked = [];
        ChatOptions options = new()
        {
            Tools = [AIFunctionFactory.Create((string building) => { asked.Add(building); return 41; }, "height")],
            RawRepresentationFactory = _ => new GenerationOptions { Sampling = ModelFixture.Saying(model, answers.Dequeue()) },
            AdditionalProperties = new() { [EdgeChatProperties.Store] = stores },
        };

        ChatResponse response = streams
            ? await client.GetStreamingResponseAsync([ModelFixture.User("How tall?")], options).ToChatResponseAsync()
            : await client.GetResponseAsync([ModelFixture.User("How tall?")], options);

        Assert.Equal(["lighthouse"], asked);
        Assert.Equal("It is 41 metres tall.", response.Messages[^1].Text);
        Assert.Equal(stores, response.ConversationId is not null);
        Assert.Equal("41", Assert.Single(response.Messages.SelectMany(message => message.Contents).OfType<FunctionResultContent>()).Result?.ToString());

        // The second request goes on where the call ended.
        Assert.Single(inner.Caches);
        Assert.Empty(answers);
    }

    [Fact]
    public async Task Logging_Client_LogsTheAnswer()
    {
        using EdgeChatClient inner = fixture.Tiny.AsChatClient(ModelFixture.Options);
        List<string> lines = [];
        using Lines factory = new(lines);
        using IChatClient client = new ChatClientBuilder(inner).UseLogging(factory).Build();

        ChatResponse response = await client.GetResponseAsync("Hello.");

        Assert.Contains(lines, line => line.Contains(response.ResponseId!, StringComparison.Ordinal));
    }

    [Fact]
    public async Task OpenTelemetry_Client_TracesModelAndUsage()
    {
        const string Source = "EdgeKV.Tests";
        List<Activity> activities = [];
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == Source,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activities.Add,
        };
        ActivitySource.AddActivityListener(listener);
        using EdgeChatClient inner = fixture.Tiny.AsChatClient(ModelFixture.Options with { ModelId = "tiny" });
        using IChatClient client = new ChatClientBuilder(inner).UseOpenTelemetry(sourceName: Source).Build();

        ChatResponse response = await client.GetResponseAsync("Hello.");

        Activity activity = Assert.Single(activities);
        Assert.Equal("edgekv", activity.GetTagItem("gen_ai.provider.name"));
        Assert.Equal("tiny", activity.GetTagItem("gen_ai.response.model"));
        Assert.Equal(response.Usage!.InputTokenCount, Convert.ToInt64(activity.GetTagItem("gen_ai.usage.input_tokens"), null));
        Assert.Equal(response.Usage.OutputTokenCount, Convert.ToInt64(activity.GetTagItem("gen_ai.usage.output_tokens"), null));
    }

    [Fact]
    public async Task DistributedCache_SameQuestionAboutADocument_IsAnsweredFromTheCache()
    {
        using EdgeChatClient inner = fixture.Bundled.AsChatClient(ModelFixture.Options);
        IDistributedCache cache = new MemoryDistributedCache(Options.Create(new MemoryDistributedCacheOptions()));
        using IChatClient client = new ChatClientBuilder(inner).UseDistributedCache(cache).Build();
        ChatMessage[] messages = [new(ChatRole.User, [ModelFixture.DocumentText(ModelFixture.Document), new TextContent("Who?")])];

        ChatResponse first = await client.GetResponseAsync(messages);
        ChatResponse second = await client.GetResponseAsync(messages);

        Assert.Equal(first.ResponseId, second.ResponseId);
        Assert.Equal(first.Text, second.Text);
        Assert.IsType<JsonElement>(second.AdditionalProperties![EdgeChatProperties.Compression]);
    }

    private sealed class Lines(List<string> lines) : ILoggerFactory, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Add(formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
