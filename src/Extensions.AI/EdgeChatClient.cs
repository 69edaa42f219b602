using System.Runtime.CompilerServices;
using System.Threading.Channels;
using System.Threading.RateLimiting;
using EdgeKV.Engine;
using EdgeKV.Extensions.AI.Answers;
using EdgeKV.Extensions.AI.Contexts;
using EdgeKV.Extensions.AI.Requests;
using EdgeKV.Models;
using EdgeKV.Sessions;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI;

/// <summary>
/// A model on this machine as an <see cref="IChatClient"/>. Documents in messages are read once and compressed, and a conversation goes on in the context that holds it.
/// Many threads may use one client: requests are answered one after another, in the order in which they came.
/// </summary>
/// <remarks>
/// An answer is made at the engine's speed, whether or not its reader keeps up. Cancelling takes a request out of the queue, or ends its answer within one token. Disposing cancels
/// the answer that runs and every request that waits; their callers get an <see cref="ObjectDisposedException"/>. Disposing returns when the engine has stopped.
/// What EdgeKV cannot do is refused with a <see cref="NotSupportedException"/> that names it.
/// </remarks>
public sealed class EdgeChatClient : IChatClient, IAsyncDisposable
{
    private readonly EdgeModel _model;
    private readonly bool _ownsModel;
    private readonly ChatClientMetadata _metadata;
    private readonly RequestReader _reader;
    private readonly SessionPool _pool;
    private readonly Responder _responder;
    private readonly ConcurrencyLimiter _queue = new(new ConcurrencyLimiterOptions
    {
        PermitLimit = 1,
        QueueLimit = int.MaxValue,
        QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
    });

    private readonly CancellationTokenSource _disposing = new();
    private readonly Lazy<Task> _end;

    /// <summary>A chat client of a model.</summary>
    /// <param name="model">The model. It needs a chat template.</param>
    /// <param name="options">How contexts are kept; null for the defaults.</param>
    /// <param name="ownsModel">Whether disposing the client disposes the model too. Default: false.</param>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
    /// <exception cref="InvalidOperationException">The model is known from a context alone, so that no other context can be made of it.</exception>
    /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
    public EdgeChatClient(EdgeModel model, EdgeChatClientOptions? options = null, bool ownsModel = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        options ??= new EdgeChatClientOptions();
        options.Validate(model);
        model.EnsureSupported();
        string modelId = options.ModelId ?? (model.Path.Length > 0 ? Path.GetFileNameWithoutExtension(model.Path) : model.Description);
        SessionOptions session = new() { ContextSize = options.ContextSize, CacheType = options.CacheType, Threads = options.Threads };
        _model = model;
        _ownsModel = ownsModel;
        _metadata = new ChatClientMetadata("edgekv", providerUri: null, modelId);
        _reader = new RequestReader(modelId, options.DefaultMaxOutputTokens);
        _pool = new SessionPool(model, session, options.Budget, options.MinTurnTokens, options.MaxContexts);
        PromptWriter writer = new(model, options.Budget is null ? int.MaxValue : options.MinDocumentTokens);
        _responder = new Responder(modelId, writer, _pool, new ConversationStore(options.MaxConversations));
        _end = new Lazy<Task>(() => Task.Run(EndAsync));
    }

    /// <summary>The caches of the contexts in memory, the least recently used first. Not to be asked while an answer begins.</summary>
    internal IReadOnlyList<CacheState> Caches => _pool.Caches;

    /// <summary>Requests that wait for the engine.</summary>
    internal long Waiting => _queue.GetStatistics()?.CurrentQueuedCount ?? 0;

    /// <summary>Answers a conversation. The answer is that of <see cref="GetStreamingResponseAsync"/>, put together.</summary>
    /// <inheritdoc cref="GetStreamingResponseAsync"/>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        await GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken).ConfigureAwait(false);

    /// <summary>Answers a conversation, piece by piece. The last update has finish reason and usage.</summary>
    /// <param name="messages">The whole conversation, or with a ConversationId what is new in it.</param>
    /// <param name="options">Length, sampling, form of the answer and tools; null for the defaults: greedy text.</param>
    /// <param name="cancellationToken">Takes the request out of the queue, or ends its answer within one token. A conversation is then as before.</param>
    /// <exception cref="NotSupportedException">An option, a tool or a content that EdgeKV or the model's template cannot do; the message names it.</exception>
    /// <exception cref="ArgumentException">A value is wrong or out of its range, a document is empty or no UTF-8, or there is no message.</exception>
    /// <exception cref="ContextWindowException">The conversation is longer than a context can hold.</exception>
    /// <exception cref="UnsupportedModelException">The model has no chat template, or it refuses the conversation.</exception>
    /// <exception cref="SessionStateException">The ConversationId is not known.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for a context.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The client has been disposed, or is while the request waits or is answered.</exception>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        ThrowIfDisposed();
        return StreamAsync(_reader.Read(messages, options, this), cancellationToken);
    }

    /// <summary>Gives this client, its model (<see cref="EdgeModel"/>) and its <see cref="ChatClientMetadata"/>.</summary>
    /// <param name="serviceType">What is asked for.</param>
    /// <param name="serviceKey">Null: the client has no keyed services.</param>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(ChatClientMetadata) ? _metadata
            : serviceType == typeof(EdgeModel) ? _model
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <summary>Cancels what runs and what waits, and frees the contexts once the engine has stopped.</summary>
    public void Dispose() => _end.Value.GetAwaiter().GetResult();

    /// <summary>As <see cref="Dispose"/>, without blocking the caller meanwhile.</summary>
    public ValueTask DisposeAsync() => new(_end.Value);

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(ChatRequest request, [EnumeratorCancellation] CancellationToken cancellation)
    {
        ThrowIfDisposed();
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _disposing.Token);
        Channel<ChatResponseUpdate> updates = Channel.CreateUnbounded<ChatResponseUpdate>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });

        // On its own, so that a reader that is slow, or never comes back, does not hold the engine.
        Task work = Task.Run(() => WorkAsync(request, updates.Writer, stop.Token), CancellationToken.None);
        try
        {
            await foreach (ChatResponseUpdate update in updates.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                cancellation.ThrowIfCancellationRequested();
                yield return update;
            }

            await Completed(work, cancellation).ConfigureAwait(false);
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await work.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task WorkAsync(ChatRequest request, ChannelWriter<ChatResponseUpdate> updates, CancellationToken cancellation)
    {
        try
        {
            using RateLimitLease lease = await _queue.AcquireAsync(1, cancellation).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            await _responder.AnswerAsync(request, updates, cancellation).ConfigureAwait(false);
        }
        finally
        {
            updates.Complete();
        }
    }

    /// <summary>Throws what ended the work, with the token that the caller knows.</summary>
    private async Task Completed(Task work, CancellationToken cancellation)
    {
        try
        {
            await work.ConfigureAwait(false);
        }
        catch (OperationCanceledException e)
        {
            ObjectDisposedException.ThrowIf(_disposing.IsCancellationRequested && !cancellation.IsCancellationRequested, this);
            throw new OperationCanceledException(e.Message, e, cancellation);
        }
    }

    private async Task EndAsync()
    {
        await _disposing.CancelAsync().ConfigureAwait(false);

        // Those that were there before have left when it is the turn of this.
        using (await _queue.AcquireAsync(1).ConfigureAwait(false))
        {
            _pool.Dispose();
        }

        await _queue.DisposeAsync().ConfigureAwait(false);
        if (_ownsModel)
        {
            _model.Dispose();
        }
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_end.IsValueCreated, this);
}
