using System.Diagnostics;
using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Evaluation;

/// <summary>
/// Times a model with its full cache and with compact ones, in turns: a machine that slows down for a while slows all of them down, and figures of
/// the same round are compared with each other.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="text">What is read: <see cref="BenchOptions.TextTokens"/> at least.</param>
/// <param name="policy">Decides which rows stay; its budget is replaced by each ratio.</param>
/// <param name="options">What is measured, and how often.</param>
public sealed class Bench(EdgeModel model, BenchText text, ICompressionPolicy policy, BenchOptions options)
{
    // Of progress: a decoded token takes about as long as so many tokens of a prompt, and a token of a pass as so many.
    private const int DecodeWeight = 5;
    private const int PassWeight = 3;

    // Tokens of the prefill that warms up.
    private const int WarmUpTokens = 256;

    private static readonly ScoreRequest RepeatPass = new(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max));

    private readonly EdgeModel _model = model;
    private readonly BenchText _text = text;
    private readonly ICompressionPolicy _policy = policy;
    private readonly BenchOptions _options = options;

    private bool PolicyLearns => _policy.Request.Statistics.Any(statistic => statistic is Learned);

    /// <summary>Measures one depth with one cache type.</summary>
    /// <param name="depth">Tokens of the context.</param>
    /// <param name="type">Element type of the cache.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work.</param>
    /// <exception cref="ContextWindowException">The depth, or the policy's task tokens on top of it, do not fit the window.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the caches.</exception>
    /// <exception cref="PlanException">The policy cannot plan.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<BenchSeries> MeasureAsync(
        int depth, KvCacheType type, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        string state = Path.Combine(Path.GetTempPath(), $"edgekv-bench-{Environment.ProcessId}-{depth}-{type}.state");
        List<EdgeSession> sessions = [];
        try
        {
            return await new Run(this, depth, type, state, sessions, progress, cancellationToken).MeasureAsync().ConfigureAwait(false);
        }
        finally
        {
            sessions.ForEach(session => session.Dispose());
            File.Delete(state);
        }
    }

    private sealed class Run(
        Bench bench, int depth, KvCacheType type, string state, List<EdgeSession> sessions, IProgress<double>? progress, CancellationToken ct)
    {
        private readonly EdgeModel _model = bench._model;
        private readonly BenchOptions _options = bench._options;
        private readonly ReadOnlyMemory<int> _tokens = bench._text.Tokens;
        private readonly BenchTurns _turns = new(depth, bench._options.Ratios.Count);
        private readonly EdgeSession?[] _compact = new EdgeSession?[bench._options.Ratios.Count];
        private readonly BenchTurns.CompactSizes[] _sizes = new BenchTurns.CompactSizes[bench._options.Ratios.Count];
        private int _passTokens;
        private double _done;

        private ReadOnlyMemory<int> Document => _tokens[..depth];

        private ReadOnlyMemory<int> Question => _tokens.Slice(depth, _options.Question);

        public async Task<BenchSeries> MeasureAsync()
        {
            EdgeSession full = Session(Math.Min(_model.Window, depth + Math.Max(_options.Decode, _options.Question)));
            EdgeSession empty = Session(Math.Min(_model.Window, depth + Math.Max(_options.Decode, _options.Question)));
            await full.PrefillAsync(_tokens[..Math.Min(WarmUpTokens, depth)], progress: null, ct).ConfigureAwait(false);
            for (int round = 0; round < _options.Prefills; round++)
            {
                await FirstTokensAsync(full, round).ConfigureAwait(false);
            }

            for (int round = -_options.WarmUp; round < _options.Repeats; round++)
            {
                Decode(full, empty, counts: round >= 0);
            }

            CacheState cache = full.Cache;
            long rows = (long)_model.Geometry.KvHeads.Total * depth;
            return _turns.Sum(
                type, _model.Bytes, _passTokens, new BenchTurns.FullSizes(rows, _model.KvBytesPerToken(type) * depth, cache.Bytes), _sizes);
        }

        /// <summary>Everything up to the first token: once over the full cache, then over the compact ones.</summary>
        private async Task FirstTokensAsync(EdgeSession full, int round)
        {
            full.Clear();
            double prefill = await SecondsAsync(() => full.PrefillAsync(Document, Part(depth), ct)).ConfigureAwait(false);
            _turns.Prefill.Add(prefill);
            _turns.FirstToken.Add(prefill + Ask(full));

            CompressionPlan[] plans = new CompressionPlan[_options.Ratios.Count];
            using (EdgeSession read = New(contextSize: 0, learned: true))
            {
                if (read.Profile is not null)
                {
                    double learned = await SecondsAsync(() => read.PrefillAsync(Document, Part(depth), ct)).ConfigureAwait(false);
                    _turns.LearnedPrefill.Add(learned);
                    prefill = bench.PolicyLearns ? learned : prefill;
                }

                if (round == 0)
                {
                    await (read.Profile is null ? full : read).SaveAsync(state, ct).ConfigureAwait(false);
                }

                if (read.Profile is null)
                {
                    await read.LoadAsync(state, ct).ConfigureAwait(false);
                }

                await PlanAsync(read, plans).ConfigureAwait(false);
                await PassAsync(read, round).ConfigureAwait(false);
            }

            for (int i = 0; i < plans.Length; i++)
            {
                await ApplyAsync(i, plans[i], prefill + _turns.Score[^1]).ConfigureAwait(false);
            }
        }

        private async Task PlanAsync(EdgeSession read, CompressionPlan[] plans)
        {
            long start = Stopwatch.GetTimestamp();
            using AttentionScores scores = await read.ScoreAsync(bench._policy.Request, progress: null, ct).ConfigureAwait(false);
            _turns.Score.Add(Seconds(start));
            if (bench._policy.Request.Equals(RepeatPass))
            {
                _turns.Pass.Add(_turns.Score[^1]);
                _passTokens = (int)scores.PassTokens;
            }

            for (int i = 0; i < plans.Length; i++)
            {
                ICompressionPolicy budgeted = bench._policy.WithBudget(Budget.FromRatio(_options.Ratios[i]));
                start = Stopwatch.GetTimestamp();
                plans[i] = budgeted.Plan(scores);
                _turns.Compact[i].Plan.Add(Seconds(start));
            }
        }

        private async Task PassAsync(EdgeSession read, int round)
        {
            if (round >= _options.Passes || bench._policy.Request.Equals(RepeatPass))
            {
                return;
            }

            long start = Stopwatch.GetTimestamp();
            using AttentionScores scores = await read.ScoreAsync(RepeatPass, Part(depth * PassWeight), ct).ConfigureAwait(false);
            _turns.Pass.Add(Seconds(start));
            _passTokens = (int)scores.PassTokens;
        }

        private async Task ApplyAsync(int index, CompressionPlan plan, double before)
        {
            _compact[index]?.Dispose();
            EdgeSession session = _compact[index] = Session(depth);
            await session.LoadAsync(state, ct).ConfigureAwait(false);
            long full = Resident();
            CompressionReport report = await session.ApplyAsync(plan, options: null, progress: null, ct).ConfigureAwait(false);
            BenchTurns.Cell turns = _turns.Compact[index];
            double applying = report.Applying.TotalSeconds;
            _sizes[index] = new BenchTurns.CompactSizes(
                _options.Ratios[index],
                report.TotalRowsAfter,
                report.TotalRowBytesAfter,
                report.BytesAfter,
                full,
                Resident());
            turns.Apply.Add(applying);
            turns.FirstToken.Add(before + turns.Plan[^1] + applying + Ask(session));
        }

        /// <summary>One round of decoding: a turn for every cache.</summary>
        private void Decode(EdgeSession full, EdgeSession empty, bool counts)
        {
            Add(_turns.Full, Step(full));
            Add(_turns.Empty, Step(empty));
            for (int i = 0; i < _compact.Length; i++)
            {
                Add(_turns.Compact[i].Step, Step(_compact[i]!));
            }

            void Add(List<double> turns, double seconds)
            {
                if (counts)
                {
                    turns.Add(seconds);
                }
            }
        }

        // Seconds of a decode step, on average over a turn.
        private double Step(EdgeSession session)
        {
            int position = session.Position;
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < _options.Decode; i++)
            {
                ct.ThrowIfCancellationRequested();
                session.Decode(_tokens.Span.Slice(depth + i, 1));
            }

            double seconds = Seconds(start) / _options.Decode;
            session.Rollback(position);
            _done += _options.Decode * DecodeWeight;
            progress?.Report(_done / Total);
            return seconds;
        }

        // Seconds of the question, whose logits are the first token's.
        private double Ask(EdgeSession session)
        {
            ct.ThrowIfCancellationRequested();
            int position = session.Position;
            long start = Stopwatch.GetTimestamp();
            session.Decode(Question.Span);
            double seconds = Seconds(start);
            session.Rollback(position);
            return seconds;
        }

        private double Total
        {
            get
            {
                double prefills = (double)depth * _options.Prefills * (_model.Profile is null ? 1 : 2);
                double passes = (double)depth * PassWeight * Math.Min(_options.Passes, _options.Prefills);
                double rounds = (double)(_options.WarmUp + _options.Repeats) * (_options.Ratios.Count + 2) * _options.Decode * DecodeWeight;
                return prefills + passes + rounds;
            }
        }

        private WeightedPart? Part(double weight)
        {
            if (progress is null)
            {
                return null;
            }

            WeightedPart part = new(progress, _done / Total, weight / Total);
            _done += weight;
            return part;
        }

        private EdgeSession Session(int contextSize)
        {
            EdgeSession session = New(contextSize, learned: false);
            sessions.Add(session);
            return session;
        }

        private EdgeSession New(int contextSize, bool learned) => _model.CreateSession(new SessionOptions
        {
            ContextSize = contextSize,
            CacheType = type,
            Threads = _options.Threads,
            LearnedScores = learned,
        });

        private static async Task<double> SecondsAsync(Func<Task> work)
        {
            long start = Stopwatch.GetTimestamp();
            await work().ConfigureAwait(false);
            return Seconds(start);
        }

        private static double Seconds(long start) => Stopwatch.GetElapsedTime(start).TotalSeconds;

        private static long Resident()
        {
            // Managed garbage is not the cache's.
            GC.Collect();
            return Environment.WorkingSet;
        }
    }

    private sealed class WeightedPart(IProgress<double> progress, double from, double share) : IProgress<double>
    {
        public void Report(double value) => progress.Report(from + value * share);
    }
}
