using System.Diagnostics;
using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Compression;

/// <summary>Scores a context as a policy asks, has the policy plan, and rewrites the cache. Runs on the context's thread, inside its lock.</summary>
internal sealed class Compressor(KvContext context, CompressOptions options, IProgress<CompressionProgress>? progress, CancellationToken cancellation)
{
    private readonly NativeContext _native = context.Native;

    /// <summary>Compresses by the default policy for a budget.</summary>
    public CompressionReport Run(Budget budget, ScoreProfile? tables, TimeSpan prefill)
    {
        Check();
        int position = _native.Position;
        (int, int)[] missing = context.Profile is null ? [] : _native.WithoutLearned(position);
        bool learned = context.Profile is not null && missing.Length == 0;

        // A compact cache has no attention left to look at, so learned scores have to do.
        ContextRoom room = _native.IsCompact ? ContextRoom.None : new ContextRoom(position, context.Limit, context.Model.ProbeTokens);
        CompressionReport report = Run(PolicyResolver.Resolve(budget, learned ? context.Profile : null, room).Policy, tables, prefill);
        return missing.Length == 0 ? report : report with { Scores = report.Scores! with { LearnedMissing = missing } };
    }

    /// <summary>Compresses by a policy.</summary>
    /// <param name="policy">Decides which rows stay, and how many.</param>
    /// <param name="tables">Where the policy finds tables about the model that it lacks; null: in the model's own profile.</param>
    /// <param name="prefill">What reading took, for the report.</param>
    public CompressionReport Run(ICompressionPolicy policy, ScoreProfile? tables, TimeSpan prefill)
    {
        Check();
        policy = PolicyResolver.Complete(policy, () => tables ?? context.Model.Profile);
        Check(policy);
        double? before = MeasureSpeed();

        ScoreRequest request = policy.Request;
        long start = Stopwatch.GetTimestamp();
        using AttentionScores scores = context.Score(
            request, options.ScoreMemory, WorkPart.Whole(StageProgress.Of(progress, CompressionStage.Scoring), cancellation));
        TimeSpan scoring = Stopwatch.GetElapsedTime(start);

        progress?.Report(new CompressionProgress(CompressionStage.Planning, 0));
        start = Stopwatch.GetTimestamp();
        CompressionPlan plan = RowsThere.Restrict(_native, policy.Plan(scores, RowCosts.Of(_native, options)));
        TimeSpan planning = Stopwatch.GetElapsedTime(start);
        progress?.Report(new CompressionProgress(CompressionStage.Planning, 1));

        Planned planned = new(policy.Name)
        {
            RatioAsked = RatioAsked(policy),
            Scores = ScoreCost.Of(request, scores.PassTokens, scoring, context.Profile, context.Model),
            Prefill = prefill,
            Scoring = scoring,
            Planning = planning,
        };

        // Before the new cache is built: the peak is the old cache plus the kept rows.
        scores.Dispose();
        return Apply(plan, planned, before);
    }

    /// <summary>Rewrites the cache so that exactly a plan's rows stay.</summary>
    public CompressionReport Run(CompressionPlan plan, TimeSpan prefill)
    {
        Check();
        return Apply(plan, new Planned("plan") { Prefill = prefill }, MeasureSpeed());
    }

    /// <summary>The ratio that a policy was given; null where all rows that reach a threshold stay.</summary>
    public static double? RatioAsked(ICompressionPolicy policy) =>
        policy is GlobalRanking { Limit: not null, Ratio: 0 } ? null : policy.Budget.Ratio;

    private void Check()
    {
        long sequences = _native.Get(NativeCacheKey.Sequences);
        if (sequences > 1)
        {
            throw new SessionStateException(
                $"Cannot compress: the cache holds {sequences} sequences, and rows are kept for one. Dispose the other conversations first.");
        }

        context.ThrowIfEmpty("compress");
        context.Model.EnsureSupported();

        // Before rows are merged, which cannot be taken back.
        RowCosts.EnsureRoom(context.Model, options);
    }

    // What is known without looking at the rows is said before the pass, which may take longer than reading.
    private void Check(ICompressionPolicy policy)
    {
        KvCacheType keys = CacheTypes.Of(_native.Get(NativeCacheKey.TypeK));
        KvCacheType values = CacheTypes.Of(_native.Get(NativeCacheKey.TypeV));
        ScoredContext seen = new(_native, context.Limit, options.ScoreMemory);
        bool valuesTakeLess = context.Model.KvBytesPerToken(values) < context.Model.KvBytesPerToken(keys);
        context.Model.EnsureCompressible(valuesTakeLess ? values : keys, policy, new ContextToRead(_native.Position, seen.PrefixLength(), context.Limit, seen.BatchSize), options);
        if (options.Rerotate)
        {
            Rewriting.EnsureRotates(_native);
        }

        if (options.Merge)
        {
            Merging.EnsureFull(_native);
        }
    }

    private CompressionReport Apply(CompressionPlan plan, Planned planned, double? speedBefore)
    {
        int position = _native.Position;
        if (!plan.KvHeads.Equals(context.Model.Geometry.KvHeads) || plan.ContextTokens != position)
        {
            throw new PlanException(
                $"The plan is for {plan.ContextTokens} tokens in {plan.KvHeads} KV heads; "
                + $"the context has {position} in {context.Model.Geometry.KvHeads}.");
        }

        plan.ThrowIfEmpty();
        if (options.Rerotate)
        {
            Rewriting.EnsureRerotates(_native, plan);
        }

        long start = Stopwatch.GetTimestamp();
        MergedRows[] merged = options.Merge ? Merging.Plan(_native, plan, progress, cancellation) : [];
        TimeSpan merging = Stopwatch.GetElapsedTime(start);
        cancellation.ThrowIfCancellationRequested();
        progress?.Report(new CompressionProgress(CompressionStage.Applying, 0));
        long bytesBefore = _native.Get(NativeCacheKey.Bytes);
        int[] rowsBefore = CacheStateReader.RowsPerHead(_native);
        start = Stopwatch.GetTimestamp();
        if (options.Merge)
        {
            Merging.ApplyAndRewrite(_native, merged, plan, options);
        }
        else
        {
            Rewriting.Apply(_native, plan, options, cancellation);
        }

        if (options.Rerotate)
        {
            Rewriting.Rerotate(_native);
        }

        TimeSpan applying = Stopwatch.GetElapsedTime(start);
        progress?.Report(new CompressionProgress(CompressionStage.Applying, 1));

        CompressionReport report = Reports.Of(_native, plan, planned, rowsBefore, bytesBefore, applying) with
        {
            TokensPerSecondBefore = speedBefore,
            Rerotated = options.Rerotate,
            MergedRows = merged.Sum(head => (long)head.Dropped.Length),
            Merging = options.Merge ? merging : null,
        };
        return options.MeasureTokens == 0 ? report : report with { TokensPerSecondAfter = MeasureSpeedUnlessStopped() };
    }

    // The cache has been rewritten by now: whoever stops the measurement gets the report without it.
    private double? MeasureSpeedUnlessStopped()
    {
        try
        {
            return MeasureSpeed();
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    /// <summary>Times single-token decode steps and takes them back.</summary>
    private double? MeasureSpeed()
    {
        int start = _native.Position;
        int steps = Math.Min(options.MeasureTokens, context.Limit - start - 1);
        if (steps <= 0)
        {
            return null;
        }

        // Any token times a step.
        Span<int> token = [Math.Max(0, _native.Tokens(start - 1, 1)[0])];
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_outputs_keep(_native.Handle), nameof(NativeMethods.edgekv_outputs_keep));
        try
        {
            // The first step builds the graph.
            WorkPart part = new(null, 0, 1, cancellation);
            _native.Feed(token, NativeLogits.Last, part);
            long began = Stopwatch.GetTimestamp();
            for (int i = 0; i < steps; i++)
            {
                _native.Feed(token, NativeLogits.Last, part);
                progress?.Report(new CompressionProgress(CompressionStage.Measuring, (i + 1.0) / steps));
            }

            return steps / Stopwatch.GetElapsedTime(began).TotalSeconds;
        }
        finally
        {
            _native.Restore(start);
            _ = NativeMethods.edgekv_outputs_restore(_native.Handle);
        }
    }

    private sealed class StageProgress(IProgress<CompressionProgress> progress, CompressionStage stage) : IProgress<double>
    {
        public static StageProgress? Of(IProgress<CompressionProgress>? progress, CompressionStage stage) =>
            progress is null ? null : new StageProgress(progress, stage);

        public void Report(double value) => progress.Report(new CompressionProgress(stage, value));
    }
}
