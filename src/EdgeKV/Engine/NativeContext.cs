using System.Runtime.CompilerServices;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Native;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using LLama.Native;

namespace EdgeKV.Engine;

/// <summary>
/// A context that EdgeKV's library knows, and the one place with the steps lock, call, interrupt, throw. All views of one context share it.
/// </summary>
/// <remarks>
/// The library takes the context's lock in every call, also in LLamaSharp's decode, memory and state calls. Work of several calls holds the lock
/// throughout (<see cref="Enter"/>), so that an executor on another thread waits until it is done.
/// </remarks>
internal sealed unsafe class NativeContext
{
    private static readonly ConditionalWeakTable<SafeLLamaContextHandle, NativeContext> Known = [];

    private volatile bool _stopped;
    private ScoreProfile? _scoredBy;

    private NativeContext(SafeLLamaContextHandle handle)
    {
        Handle = handle;
        Model = EdgeModel.Of(handle.ModelHandle ?? throw new ObjectDisposedException(nameof(LLama.LLamaContext)));
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_attach(handle), nameof(NativeMethods.edgekv_attach));
        BatchSize = (int)Get(NativeCacheKey.BatchSize);
    }

    public SafeLLamaContextHandle Handle { get; }

    public EdgeModel Model { get; }

    /// <summary>What the chat template puts around the texts of the context's conversation: the model's, or that of a session with its own system prompt.</summary>
    public ChatFrame Chat
    {
        get => field ?? Model.Chat;
        set;
    }

    /// <summary>The thread on which long work in this context runs.</summary>
    public EngineWorker Worker { get; } = new();

    /// <summary>Tokens that one decode step takes at most.</summary>
    public int BatchSize { get; }

    /// <summary>What was fed before rows were given other positions; null: that has not happened.</summary>
    public TokensAsFed? BeforeRerotation { get; set; }

    /// <summary>The position that the next token gets.</summary>
    public int Position => (int)Get(NativeCacheKey.Position);

    public bool IsCompact => Get(NativeCacheKey.Compact) != 0;

    /// <summary>The context of a handle, the same object for the same handle. Attaches to it the first time.</summary>
    /// <exception cref="NativeLibraryException">LLamaSharp does not run on EdgeKV's library.</exception>
    /// <exception cref="UnsupportedModelException">The context's cache cannot be made compact.</exception>
    /// <exception cref="ObjectDisposedException">The context has been disposed.</exception>
    public static NativeContext Of(SafeLLamaContextHandle handle)
    {
        EdgeKVRuntime.EnsureLoaded();
        ObjectDisposedException.ThrowIf(handle.IsClosed, typeof(LLama.LLamaContext));
        return Known.GetValue(handle, static key => new NativeContext(key));
    }

    /// <summary>Takes the context's lock for the calling thread until the result is disposed.</summary>
    /// <param name="wait">Whether to wait while another thread has it.</param>
    /// <exception cref="ContextBusyException">Another thread has it, and the caller does not wait.</exception>
    /// <exception cref="ObjectDisposedException">The context has been disposed.</exception>
    public ContextLock Enter(bool wait = true)
    {
        ObjectDisposedException.ThrowIf(_stopped, typeof(KvContext));
        return new ContextLock(Handle, wait);
    }

    /// <summary>Stops what is running, and all work to come: the owner is disposing the context.</summary>
    public void Stop()
    {
        _stopped = true;
        Interrupt();
    }

    /// <summary>As <see cref="Stop"/>, and waits until no call runs any more.</summary>
    public void StopAndWait()
    {
        bool referenced = false;
        try
        {
            Handle.DangerousAddRef(ref referenced);
            Stop();
            if (NativeMethods.edgekv_lock(Handle, -1) == NativeStatus.Ok)
            {
                NativeMethods.edgekv_unlock(Handle.DangerousGetHandle());
            }
        }
        catch (ObjectDisposedException)
        {
            // A context that is gone runs nothing.
        }
        finally
        {
            if (referenced)
            {
                Handle.DangerousRelease();
            }
        }
    }

    /// <summary>Asks the running call, or the next one, to stop. Any thread, at any time.</summary>
    public void Interrupt()
    {
        try
        {
            NativeMethods.edgekv_interrupt(Handle);
        }
        catch (ObjectDisposedException)
        {
            // A context that is gone needs no stopping.
        }
    }

    /// <summary>Makes a call that can take long. The caller is inside <see cref="Enter"/>.</summary>
    public void Run<TCall>(TCall call, in WorkPart part)
        where TCall : struct, INativeCall
    {
        part.Cancellation.ThrowIfCancellationRequested();
        if (part.Progress is null && !part.Cancellation.CanBeCanceled)
        {
            Throw(call.Invoke(Handle, null, null), call.Function, part.Cancellation);
            return;
        }

        using ProgressCallback callback = new(part.Progress, part.Cancellation, part.From, part.To);
        NativeStatus status;
        using (part.Cancellation.UnsafeRegister(static state => ((NativeContext)state!).Interrupt(), this))
        {
            status = call.Invoke(Handle, ProgressCallback.Function, callback.User);
        }

        if (part.Cancellation.IsCancellationRequested)
        {
            ResetInterrupt();
        }

        callback.ThrowIfFailed();
        Throw(status, call.Function, part.Cancellation);
    }

    /// <summary>Feeds tokens at the next positions. On failure nothing has been fed.</summary>
    /// <exception cref="ModelException">The model computes no numbers.</exception>
    public void Feed(ReadOnlySpan<int> tokens, NativeLogits logits, in WorkPart part)
    {
        int start = Position;
        fixed (int* pointer = tokens)
        {
            Run(new DecodeCall(pointer, tokens.Length, logits), part);
        }

        if (logits == NativeLogits.None)
        {
            return;
        }

        try
        {
            ModelNumbers.EnsureLogits(Handle.GetLogitsIth(-1));
        }
        catch (ModelException)
        {
            Rollback(start);
            throw;
        }
    }

    /// <summary>Feeds tokens and adds the attention that they pay to scores. On failure nothing has been fed.</summary>
    public void FeedScored(ScoresHandle scores, ReadOnlySpan<int> tokens, long scoreMemory, in WorkPart part)
    {
        fixed (int* pointer = tokens)
        {
            Run(new ScoreCall(scores, pointer, tokens.Length, (ulong)scoreMemory), part);
        }
    }

    /// <summary>Takes back every token at a position and after it.</summary>
    public void Rollback(int position) =>
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_rollback(Handle, position), nameof(NativeMethods.edgekv_rollback));

    /// <summary>Takes back what some work fed, whatever became of it. When that fails, the context is marked as failed.</summary>
    public void Restore(int position)
    {
        if (_stopped || Handle.IsClosed)
        {
            return;
        }

        try
        {
            if (Position > position)
            {
                Rollback(position);
            }
        }
        catch (EdgeKVException e)
        {
            Fail($"an earlier failure could not be undone: {e.Message}");
        }
    }

    /// <summary>Empties the cache, which ends a failed state.</summary>
    public void Clear()
    {
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_clear(Handle), nameof(NativeMethods.edgekv_clear));
        BeforeRerotation = null;
    }

    /// <summary>Marks the context as failed, for LLamaSharp's calls too: its rows are not what they should be. Only clearing it helps.</summary>
    public void Fail(string reason)
    {
        try
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_fail(Handle, reason), nameof(NativeMethods.edgekv_fail));
        }
        catch (ObjectDisposedException)
        {
            // A context that is being disposed is not used again.
        }
    }

    /// <exception cref="SessionStateException">The context failed.</exception>
    public void ThrowIfFailed()
    {
        if (Get(NativeCacheKey.Fault) != 0)
        {
            throw NativeErrors.Create(NativeStatus.State, nameof(NativeMethods.edgekv_cache_get), NativeErrors.LastError());
        }
    }

    /// <summary>The token ids of some positions; -1 where the id is not known.</summary>
    public int[] Tokens(int first, int count)
    {
        int[] tokens = new int[count];
        if (count > 0)
        {
            fixed (int* pointer = tokens)
            {
                NativeErrors.ThrowIfFailed(NativeMethods.edgekv_tokens(Handle, first, count, pointer), nameof(NativeMethods.edgekv_tokens));
            }
        }

        return tokens;
    }

    /// <summary>Gives ids to the first positions, whose rows came with a state or from other positions. Those that are not known stay so.</summary>
    public void SetTokens(ReadOnlySpan<int> tokens)
    {
        for (int first = 0; first < tokens.Length; first++)
        {
            int count = tokens[first..].IndexOf(CacheState.UnknownToken) is >= 0 and var known ? known : tokens.Length - first;
            if (count > 0)
            {
                fixed (int* pointer = tokens[first..])
                {
                    NativeErrors.ThrowIfFailed(NativeMethods.edgekv_tokens_set(Handle, first, count, pointer), nameof(NativeMethods.edgekv_tokens_set));
                }
            }

            first += count;
        }
    }

    /// <summary>Whether every one of the first positions has learned scores.</summary>
    public bool KnowsLearned(int count) => LearnedRuns(count) is [[0, var length]] && length == count;

    /// <summary>Stretches of the first positions that have no learned scores: first position and count of each, ascending.</summary>
    public (int First, int Count)[] WithoutLearned(int count)
    {
        List<(int, int)> runs = [];
        int end = 0;
        foreach (int[] run in LearnedRuns(count).Append([count, 0]))
        {
            if (run[0] > end)
            {
                runs.Add((end, run[0] - end));
            }

            end = run[0] + run[1];
        }

        return [.. runs];
    }

    /// <summary>Stretches of the first positions that have learned scores: first position and count of each, ascending.</summary>
    public int[][] LearnedRuns(int count)
    {
        byte[] known = new byte[count];
        if (count > 0)
        {
            fixed (byte* pointer = known)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_learned_known(Handle, 0, count, pointer), nameof(NativeMethods.edgekv_learned_known));
            }
        }

        List<int[]> runs = [];
        for (int i = 0; i < count; i++)
        {
            if (known[i] == 0)
            {
                continue;
            }

            if (runs is [.., var last] && last[0] + last[1] == i)
            {
                last[1]++;
            }
            else
            {
                runs.Add([i, 1]);
            }
        }

        return [.. runs];
    }

    /// <summary>Learned scores of some positions, [layers, kvHeads, count].</summary>
    public float[] Learned(int first, int count)
    {
        float[] scores = new float[checked(Model.Geometry.KvHeads.Total * count)];
        fixed (float* pointer = scores)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_learned_scores(Handle, first, count, pointer, (nuint)scores.Length), nameof(NativeMethods.edgekv_learned_scores));
        }

        return scores;
    }

    /// <summary>Gives learned scores to positions whose rows came with a state.</summary>
    public void SetLearned(int first, int count, ReadOnlySpan<float> scores)
    {
        byte[] known = new byte[count];
        Array.Fill(known, (byte)1);
        fixed (byte* flags = known)
        fixed (float* pointer = scores)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_learned_set(Handle, first, count, flags, pointer, (nuint)scores.Length), nameof(NativeMethods.edgekv_learned_set));
        }
    }

    public long Get(NativeCacheKey key)
    {
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_cache_get(Handle, key, out long value), nameof(NativeMethods.edgekv_cache_get));
        return value;
    }

    /// <summary>Has every token that is decoded from now on scored by a profile's map. Scores that are there stay when they are that map's.</summary>
    /// <exception cref="ProfileException">The profile is another model's.</exception>
    /// <exception cref="UnsupportedModelException">The model's graph does not name what the map is for.</exception>
    public void ScoreBy(ScoreProfile profile)
    {
        if (_scoredBy is { } now && (now == profile || now.Weights.Span.SequenceEqual(profile.Weights.Span)))
        {
            return;
        }

        profile.EnsureFits(Model);
        fixed (float* weights = profile.Weights.Span)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_score_map_create(Model.Handle, weights, (nuint)profile.Weights.Length, out nint created),
                nameof(NativeMethods.edgekv_score_map_create));

            // The context keeps its own reference.
            using ScoreMapHandle map = new(created);
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_score_map_set(Handle, map), nameof(NativeMethods.edgekv_score_map_set));
        }

        _scoredBy = profile;
    }

    /// <summary>Takes back an interrupt that came just after the call it was meant for, so that it does not stop the next one.</summary>
    public void ResetInterrupt()
    {
        if (!_stopped)
        {
            NativeMethods.edgekv_interrupt_reset(Handle);
        }
    }

    private void Throw(NativeStatus status, string function, CancellationToken cancellation)
    {
        if (status == NativeStatus.Cancelled)
        {
            ObjectDisposedException.ThrowIf(_stopped && !cancellation.IsCancellationRequested, typeof(KvContext));
        }

        NativeErrors.ThrowIfFailed(status, function, cancellation);
    }
}
