using System.Diagnostics;
using System.Numerics;
using EdgeKV.Compression;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    // What edgekv_apply takes for a room of 0.
    private const int DefaultRoom = 256;

    // Rows and bytes to which the engine rounds: see edgekv_apply.
    private const int DeviceAlign = 256;
    private const int DeviceOffset = 256;
    private const int HostOffset = 32;

    /// <summary>
    /// Compresses everything that the session has read by the default policy: <see cref="GlobalTopK"/> with learned scores where the session has them,
    /// probed ones where their profile has the table that these need and the general question fits behind the context, else with the repeat pass, which
    /// takes longer than reading. <see cref="CompressionReport.Scores"/> says which.
    /// </summary>
    /// <param name="budget">How much may stay.</param>
    /// <param name="options">How it is carried out; null for the defaults.</param>
    /// <param name="progress">Gets stage and share.</param>
    /// <param name="cancellationToken">Stops the work; the cache is then as it was before.</param>
    /// <inheritdoc cref="CompressAsync(ICompressionPolicy, CompressOptions, IProgress{CompressionProgress}, CancellationToken)"/>
    public Task<CompressionReport> CompressAsync(
        Budget budget,
        CompressOptions? options = null,
        IProgress<CompressionProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(budget);
        return CompressionAsync(
            options,
            chosen => Compress(
                new GlobalTopK { Budget = budget }.ByDefault(HasLearned() ? Profile : null, Position + Model.ProbeTokens <= Limit),
                chosen,
                progress,
                cancellationToken),
            cancellationToken);
    }

    /// <summary>
    /// Compresses everything that the session has read: scores it as the policy asks, has the policy plan, rewrites the cache. What comes
    /// afterwards continues at the same positions as before, unless <see cref="CompressOptions.Rerotate"/> closes them up.
    /// </summary>
    /// <param name="policy">Decides which rows stay, and how many.</param>
    /// <param name="options">How it is carried out; null for the defaults.</param>
    /// <param name="progress">Gets stage and share.</param>
    /// <param name="cancellationToken">Stops the work; the cache is then as it was before.</param>
    /// <exception cref="SessionStateException">Nothing has been read, the cache is compact already, or work is running.</exception>
    /// <exception cref="ContextWindowException">The policy's task tokens do not fit on top of the context.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory beside the old cache; that is whole.</exception>
    /// <exception cref="PlanException">The policy cannot plan, or its plan does not fit.</exception>
    /// <exception cref="ProfileException">The policy needs a table about the model that no profile has.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task<CompressionReport> CompressAsync(
        ICompressionPolicy policy,
        CompressOptions? options = null,
        IProgress<CompressionProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return CompressionAsync(options, chosen => Compress(policy, chosen, progress, cancellationToken), cancellationToken);
    }

    /// <summary>Rewrites the cache so that exactly a plan's rows stay.</summary>
    /// <param name="plan">A plan for everything that the session has read; over a compact cache, rows that are still there.</param>
    /// <param name="options">How it is carried out; null for the defaults.</param>
    /// <param name="progress">Gets stage and share.</param>
    /// <param name="cancellationToken">Stops the work before the cache is rewritten; it is then as it was before.</param>
    /// <exception cref="PlanException">The plan is for another model or another context.</exception>
    /// <exception cref="SessionStateException">Nothing has been read, or work is running.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory beside the old cache; that is whole.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task<CompressionReport> ApplyAsync(
        CompressionPlan plan,
        CompressOptions? options = null,
        IProgress<CompressionProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return CompressionAsync(
            options,
            chosen =>
            {
                double? before = MeasureSpeed(chosen.MeasureTokens, progress, cancellationToken);
                return Apply(plan, new Planned("plan"), chosen, before, progress, cancellationToken);
            },
            cancellationToken);
    }

    private Task<CompressionReport> CompressionAsync(
        CompressOptions? options, Func<CompressOptions, CompressionReport> work, CancellationToken cancellation)
    {
        options ??= new CompressOptions();
        options.Validate();
        return RunAsync(
            "compress",
            () =>
            {
                ThrowIfEmptySession("compress");
                Model.EnsureSupported();
                return work(options);
            },
            cancellation);
    }

    private CompressionReport Compress(
        ICompressionPolicy policy,
        CompressOptions options,
        IProgress<CompressionProgress>? progress,
        CancellationToken cancellation)
    {
        policy = Complete(policy);
        double? before = MeasureSpeed(options.MeasureTokens, progress, cancellation);

        ScoreRequest request = policy.Request;
        long start = Stopwatch.GetTimestamp();
        using AttentionScores scores = Score(
            request, options.ScoreMemory, StageProgress.Of(progress, CompressionStage.Scoring), cancellation);
        TimeSpan scoring = Stopwatch.GetElapsedTime(start);

        progress?.Report(new CompressionProgress(CompressionStage.Planning, 0));
        start = Stopwatch.GetTimestamp();
        CompressionPlan plan = policy.Plan(scores, Cost(options));
        TimeSpan planning = Stopwatch.GetElapsedTime(start);
        progress?.Report(new CompressionProgress(CompressionStage.Planning, 1));

        Planned planned = new(policy.Name)
        {
            RatioAsked = RatioAsked(policy),
            Scores = ScoreCost.Of(request, scores.PassTokens, scoring, Profile, Model),
            Scoring = scoring,
            Planning = planning,
        };

        // Before the new cache is built: the peak is the old cache plus the kept rows.
        scores.Dispose();
        return Apply(plan, planned, options, before, progress, cancellation);
    }

    /// <summary>A policy with the tables that it still lacks from the model's profile.</summary>
    private ICompressionPolicy Complete(ICompressionPolicy policy)
    {
        if (ICalibratedPolicy.MissingOf(policy) is not [var first, ..])
        {
            return policy;
        }

        ScoreProfile profile = _options.Profile ?? Model.Profile
            ?? throw new ProfileException($"Policy {policy.Name} needs a table about the model, and there is no profile for it; make it with `edgekv calibrate MODEL --for {first}`.");
        return ICalibratedPolicy.Complete(policy, profile);
    }

    // All that reaches a threshold: no ratio was asked for.
    private static double? RatioAsked(ICompressionPolicy policy) =>
        policy is GlobalTopK { Threshold: not null, Ratio: 0 } or ScoreThreshold { Ratio: 0 } ? null : policy.Budget.Ratio;

    /// <summary>What a kept row costs, and the most rows that a KV head gets beside its kept ones.</summary>
    private RowCost Cost(CompressOptions options)
    {
        bool onDevice = _options.OffloadKv && Model.Options.GpuLayers != 0;
        int room = options.Room == 0 ? DefaultRoom : options.Room;
        int align = options.Align > 0 ? options.Align : onDevice ? DeviceAlign : 1;
        room = checked((room + align - 1) / align * align);

        // Every head's rows begin at an offset that the backend is fast with, so heads are rounded up to as many rows as that takes.
        int bytes = onDevice ? DeviceOffset : HostOffset;
        int step = Math.Max(Step(Model.HeadSizeK), Step(Model.HeadSizeV));
        return new RowCost(CacheValue(NativeCacheKey.RowBytes), room + step - 1);

        int Step(int elements) => bytes / (int)BigInteger.GreatestCommonDivisor(bytes, KvMemory.Bytes(elements, _options.CacheType));
    }

    private CompressionReport Apply(
        CompressionPlan plan,
        Planned planned,
        CompressOptions options,
        double? speedBefore,
        IProgress<CompressionProgress>? progress,
        CancellationToken cancellation)
    {
        if (plan.Layers != Model.Layers || plan.KvHeads != Model.KvHeads || plan.ContextTokens != Position)
        {
            throw new PlanException(
                $"The plan is for {plan.ContextTokens} tokens in {plan.Layers} layers x {plan.KvHeads} KV heads; "
                + $"the session has {Position} in {Model.Layers} x {Model.KvHeads}.");
        }

        if (options.Rerotate)
        {
            EnsureClosesUp(plan);
        }

        long start = Stopwatch.GetTimestamp();
        MergedRows[] merged = options.Merge ? PlanMerging(plan, progress, cancellation) : [];
        TimeSpan merging = Stopwatch.GetElapsedTime(start);
        cancellation.ThrowIfCancellationRequested();
        progress?.Report(new CompressionProgress(CompressionStage.Applying, 0));
        long bytesBefore = CacheValue(NativeCacheKey.Bytes);
        int[] rowsBefore = ContextRows();
        start = Stopwatch.GetTimestamp();
        if (options.Merge)
        {
            MergeAndRewrite(merged, plan, options);
        }
        else
        {
            Rewrite(plan, options, cancellation);
        }

        _compact = true;
        if (options.Rerotate)
        {
            CloseUp();
        }

        TimeSpan applying = Stopwatch.GetElapsedTime(start);
        progress?.Report(new CompressionProgress(CompressionStage.Applying, 1));

        CompressionReport report = Report(plan, planned, rowsBefore, bytesBefore, applying) with
        {
            TokensPerSecondBefore = speedBefore,
            Rerotated = options.Rerotate,
            MergedRows = merged.Sum(head => (long)head.Dropped.Length),
            Merging = options.Merge ? merging : null,
        };
        return options.MeasureTokens == 0
            ? report
            : report with { TokensPerSecondAfter = MeasureSpeed(options.MeasureTokens, progress, cancellation) };
    }

    /// <summary>What an applied plan made of the cache.</summary>
    private CompressionReport Report(CompressionPlan plan, Planned planned, int[] rowsBefore, long bytesBefore, TimeSpan applying)
    {
        (int[] rows, int[] room) = CacheRows();
        return new CompressionReport
        {
            Policy = planned.Policy,
            Scores = planned.Scores,
            Layers = plan.Layers,
            KvHeads = plan.KvHeads,
            ContextTokens = plan.ContextTokens,
            RatioAsked = planned.RatioAsked,
            RatioAchieved = plan.Ratio,
            IsComposite = plan.IsComposite,
            RowBytes = CacheValue(NativeCacheKey.RowBytes),
            RowsBefore = rowsBefore,
            RowsAfter = rows,
            RoomAfter = room,
            BytesBefore = bytesBefore,
            BytesAfter = CacheValue(NativeCacheKey.Bytes),
            Prefill = _prefillTime,
            Scoring = planned.Scoring,
            Planning = planned.Planning,
            Applying = applying,
        };
    }

    private void MergeAndRewrite(MergedRows[] merged, CompressionPlan plan, CompressOptions options)
    {
        try
        {
            Merge(merged);
            Rewrite(plan, options, CancellationToken.None);
        }
        catch (Exception e) when (e is EdgeKVException or OperationCanceledException)
        {
            _fault = $"values were merged and the cache was not rewritten ({e.Message}) Dispose it and make another one.";
            throw;
        }
    }

    /// <summary>Refuses to close positions up, before anything is changed: for plans whose heads differ, and models whose RoPE does not allow it.</summary>
    private void EnsureClosesUp(CompressionPlan plan)
    {
        int other = plan.Counts.IndexOfAnyExcept(plan.Counts[0]);
        if (other >= 0)
        {
            throw new PlanException(
                $"Positions close up where all KV heads keep equally many rows: layer 0, KV head 0 keeps {plan.Counts[0]}, layer {other / plan.KvHeads}, "
                + $"KV head {other % plan.KvHeads} keeps {plan.Counts[other]}. Take a policy whose heads and layers keep equally many, or leave positions as they are.");
        }

        _ = ReadRotary(0);
    }

    /// <summary>Turns the kept keys to the positions 0 to rows - 1.</summary>
    private void CloseUp()
    {
        try
        {
            lock (_native)
            {
                NativeErrors.ThrowIfFailed(NativeMethods.edgekv_rerotate(Live), nameof(NativeMethods.edgekv_rerotate));
            }
        }
        catch (Exception e) when (e is EdgeKVException or OperationCanceledException)
        {
            _fault = $"keys were lost while they were turned to their new positions ({e.Message}) Dispose it and make another one.";
            throw;
        }

        // Heads kept rows of different tokens; the latest ones stand for them all.
        _tokens.RemoveRange(0, Position - (int)CacheValue(NativeCacheKey.ContextTokens));
        _firstTurn = _firstTurn is null ? null : Position;
    }

    private unsafe void Rewrite(CompressionPlan plan, CompressOptions options, CancellationToken cancellation)
    {
        NativeStatus status;
        do
        {
            lock (_native)
            {
                fixed (int* counts = plan.Counts)
                fixed (int* positions = plan.FlatPositions)
                {
                    status = NativeMethods.edgekv_apply(
                        Live,
                        counts,
                        (nuint)plan.Counts.Length,
                        positions,
                        (nuint)plan.FlatPositions.Length,
                        (uint)options.Room,
                        (uint)options.Align);
                }

                if (status != NativeStatus.Ok && !IsStrayInterrupt(status, cancellation))
                {
                    ThrowStatus(status, nameof(NativeMethods.edgekv_apply), cancellation);
                }
            }
        }
        while (status != NativeStatus.Ok);
    }

    /// <summary>Rows that the context has in every KV head: all of its tokens, as long as the cache is full.</summary>
    private int[] ContextRows()
    {
        if (_compact)
        {
            (int[] kept, _) = CacheRows();
            int appended = Position - (int)CacheValue(NativeCacheKey.ContextTokens);
            return Array.ConvertAll(kept, rows => rows + appended);
        }

        int[] all = new int[Model.Layers * Model.KvHeads];
        Array.Fill(all, Position);
        return all;
    }

    private unsafe (int[] Rows, int[] Room) CacheRows()
    {
        int[] rows = new int[Model.Layers * Model.KvHeads];
        int[] room = new int[rows.Length];
        lock (_native)
        {
            fixed (int* rowsPointer = rows)
            fixed (int* roomPointer = room)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_cache_rows(Live, rowsPointer, roomPointer, (nuint)rows.Length),
                    nameof(NativeMethods.edgekv_cache_rows));
            }
        }

        return (rows, room);
    }

    /// <summary>Times single-token decode steps and takes them back.</summary>
    private double? MeasureSpeed(int steps, IProgress<CompressionProgress>? progress, CancellationToken cancellation)
    {
        steps = Math.Min(steps, Limit - Position - 1);
        if (steps <= 0)
        {
            return null;
        }

        int start = Position;
        Span<int> token = [_tokens[^1]];
        try
        {
            // The first one builds the graph.
            Feed(token, NativeLogits.Last, callback: null, cancellation);
            long began = Stopwatch.GetTimestamp();
            for (int i = 0; i < steps; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                Feed(token, NativeLogits.Last, callback: null, cancellation);
                progress?.Report(new CompressionProgress(CompressionStage.Measuring, (i + 1.0) / steps));
            }

            return steps / Stopwatch.GetElapsedTime(began).TotalSeconds;
        }
        finally
        {
            Restore(start);
        }
    }

    // What was done before a plan is applied; nothing where a finished plan was given.
    private sealed record Planned(string Policy)
    {
        public double? RatioAsked { get; init; }

        public ScoreCost? Scores { get; init; }

        public TimeSpan Scoring { get; init; }

        public TimeSpan Planning { get; init; }
    }

    private sealed class StageProgress(IProgress<CompressionProgress> progress, CompressionStage stage) : IProgress<double>
    {
        public static StageProgress? Of(IProgress<CompressionProgress>? progress, CompressionStage stage) =>
            progress is null ? null : new StageProgress(progress, stage);

        public void Report(double value) => progress.Report(new CompressionProgress(stage, value));
    }
}
