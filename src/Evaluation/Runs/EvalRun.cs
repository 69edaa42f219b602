using System.Diagnostics;
using EdgeKV.Compression;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Configuration;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Evaluation;

/// <summary>
/// Answers every sample from the full cache and from what every policy leaves at every budget. A sample is read once and scored once for all
/// policies that look at the same tokens; its full cache is kept in a file and brought back for each cell.
/// </summary>
public sealed class EvalRun
{
    // The reference's rule for answers that end with their line (shared by all policies): not before so many tokens.
    private const int LeastBeforeNewline = 8;

    // Positions beside context, question and answer.
    private const int SpareTokens = 8;

    private readonly EdgeModel _model;
    private readonly EvalOptions _options;
    private readonly RunFolder _folder;
    private readonly Stopwatch _total = new();
    private readonly Stopwatch _prefill = new();
    private readonly Stopwatch _score = new();
    private readonly Stopwatch _plan = new();
    private readonly Stopwatch _apply = new();
    private readonly Stopwatch _restore = new();
    private readonly Stopwatch _answer = new();

    /// <summary>A run over a model.</summary>
    /// <param name="model">The model; stays the caller's.</param>
    /// <param name="options">What is compared.</param>
    /// <param name="folder">Where cells go, and which are there already; stays the caller's.</param>
    public EvalRun(EdgeModel model, EvalOptions options, RunFolder folder)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(folder);
        _model = model;
        _options = options;
        _folder = folder;
    }

    /// <summary>What the run took so far.</summary>
    public EvalCost Cost => new(
        _total.Elapsed, _prefill.Elapsed, _score.Elapsed, _plan.Elapsed, _apply.Elapsed, _restore.Elapsed, _answer.Elapsed);

    /// <summary>Positions that a sample takes: its context, its question and its longest answer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="sample">The sample.</param>
    /// <exception cref="DatasetException">It is a continuation of fewer than two tokens, of which there is no perplexity.</exception>
    public static long PositionsOf(EdgeModel model, EvalSample sample)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(sample);
        return (long)model.TokenizeDocument(sample.Context).Length + SampleTokens.Asked(model, sample).Length + SampleTokens.AnswerRoom(model, sample) + SpareTokens;
    }

    /// <summary>What is asked for of a policy: its name and options, and nothing else in their place.</summary>
    /// <param name="options">The policy.</param>
    /// <param name="questions">What a task set "question" asks; null: nothing.</param>
    public static PolicySpec SpecOf(PolicyOptions options, IReadOnlyList<string>? questions) => new(options) { Questions = questions, MayRepeat = false };

    /// <summary>Measures what is not there yet.</summary>
    /// <param name="samples">The samples; each fits the model's window.</param>
    /// <param name="progress">Gets how far it is.</param>
    /// <param name="cancellationToken">Stops it; finished cells are there.</param>
    /// <exception cref="OutputException">Results cannot be written.</exception>
    /// <exception cref="RunException">Results are there of data that is not among the samples.</exception>
    /// <exception cref="DatasetException">A sample is a continuation of fewer than two tokens.</exception>
    /// <exception cref="ProfileException">A policy needs a profile, or a table about the model, that is not there.</exception>
    /// <exception cref="ArgumentException">A policy's options contradict each other.</exception>
    /// <exception cref="ContextWindowException">A sample, or a policy's task tokens on top of it, do not fit.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task RunAsync(IReadOnlyList<EvalSample> samples, IProgress<EvalProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(samples);
        EvalCheck.EnsureRunnable(_model, _options, samples);
        EnsureSameNames(samples);
        HashSet<(string, string, string, string, EvalBudget)> done =
            [.. _folder.Done.Select(cell => (cell.Dataset, cell.Task, cell.Id, cell.Policy, EvalBudget.Of(cell)))];
        List<Work> work = [];
        foreach (EvalSample sample in samples)
        {
            Cell[] cells = [.. Cells(sample).Where(cell => done.Add((sample.Dataset, sample.Task, sample.Id, cell.Policy, cell.Budget)))];
            if (cells.Length > 0)
            {
                work.Add(new Work(sample, cells, sample.Context.Length));
            }
        }

        string state = Path.Combine(_folder.Path, RunFolder.StateName);
        EvalClock clock = new([.. work.Select(item => (item.Size, item.Cells.Count))], samples.Count * (1 + (_options.Policies.Count * _options.Budgets.Count(budget => !budget.IsFull))));
        _total.Start();
        try
        {
            foreach (Work item in work)
            {
                await RunAsync(item, state, () => progress?.Report(clock.Next()), cancellationToken).ConfigureAwait(false);
                clock.Read(item.Size);
            }
        }
        finally
        {
            _total.Stop();
            File.Delete(state);
        }
    }

    private void EnsureSameNames(IReadOnlyList<EvalSample> samples)
    {
        HashSet<string> names = [.. samples.Select(sample => sample.Dataset)];
        if (_folder.Done.FirstOrDefault(cell => !names.Contains(cell.Dataset)) is { } stray)
        {
            throw new RunException(
                $"{_folder.Path} has results of {stray.Dataset}, which the data does not have now: there are {string.Join(", ", names)}. "
                + "Give a file that was renamed its name back, or name another folder with --out.");
        }
    }

    private IEnumerable<Cell> Cells(EvalSample sample)
    {
        yield return new Cell(CellResult.FullCache, EvalBudget.Full, null);
        foreach ((string name, ICompressionPolicy policy) in EvalCheck.PoliciesFor(_model, _options, sample))
        {
            foreach (EvalBudget budget in _options.Budgets.Where(budget => !budget.IsFull))
            {
                yield return new Cell(name, budget, policy.WithBudget(budget.ToBudget()));
            }
        }
    }

    private async Task RunAsync(Work work, string state, Action finished, CancellationToken cancellation)
    {
        EvalSample sample = work.Sample;
        bool learned = work.Cells.Any(cell => cell.Policy is not CellResult.FullCache && cell.Plans!.Request.Statistics.Any(statistic => statistic is Learned));
        int[] context = SampleTokens.Context(_model, _options, sample);
        int[] asked = SampleTokens.Asked(_model, _options.QueryAware ? sample with { Question = string.Empty } : sample);
        int room = asked.Length + SampleTokens.AnswerRoom(_model, sample) + SpareTokens;
        SessionOptions options = new()
        {
            CacheType = _options.CacheType,
            Threads = _options.Threads,
            LearnedScores = learned,
            Profile = _options.Profile,
        };
        using EdgeSession full = _model.CreateSession(options);
        _prefill.Start();
        await full.PrefillAsync(context, progress: null, cancellation).ConfigureAwait(false);
        _prefill.Stop();
        Cell[] compressed = [.. work.Cells.Where(cell => !cell.Budget.IsFull)];
        if (compressed.Length < work.Cells.Count)
        {
            Answered answer = Answer(full, asked, sample, cancellation);
            Append(sample, work.Cells[0], full, context.Length, answer, Took.None, report: null);
            finished();
        }

        if (compressed.Length == 0)
        {
            return;
        }

        _restore.Start();
        await full.SaveAsync(state, cancellation).ConfigureAwait(false);
        _restore.Stop();
        using EdgeSession compact = _model.CreateSession(options with
        {
            ContextSize = Math.Min(_model.Window, context.Length + room),
            LearnedScores = false,
            Profile = null,
        });
        foreach (IGrouping<string, Cell> group in compressed.GroupBy(cell => CostOf(cell.Plans!.Request)))
        {
            var request = ScoreRequest.Union(group.Select(cell => cell.Plans!.Request));
            long start = Stopwatch.GetTimestamp();
            _score.Start();
            using AttentionScores scores = await full.ScoreAsync(request, progress: null, cancellation).ConfigureAwait(false);
            _score.Stop();
            double scoreSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            long peak = context.Length + Math.Min(PassTokens(request, scores), full.Limit - context.Length);
            foreach (Cell cell in group)
            {
                cancellation.ThrowIfCancellationRequested();
                await RunAsync(sample, cell, full, compact, scores, asked, new Took(scoreSeconds, peak), state, cancellation).ConfigureAwait(false);
                finished();
            }
        }
    }

    private async Task RunAsync(
        EvalSample sample,
        Cell cell,
        EdgeSession full,
        EdgeSession compact,
        AttentionScores scores,
        int[] asked,
        Took took,
        string state,
        CancellationToken cancellation)
    {
        CompressionPlan plan;
        long start = Stopwatch.GetTimestamp();
        _plan.Start();
        try
        {
            plan = cell.Plans!.Plan(scores);
            plan.ThrowIfEmpty();
        }
        catch (PlanException e)
        {
            _plan.Stop();
            Append(sample, cell, full, scores.Tokens, new Answered(null, double.NaN, 0, 0, 0), took, report: null, e.Message);
            return;
        }

        _plan.Stop();
        double planSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        _restore.Start();
        compact.Clear();
        await compact.LoadAsync(state, cancellation).ConfigureAwait(false);
        _restore.Stop();
        start = Stopwatch.GetTimestamp();
        _apply.Start();
        CompressionReport report = await compact.ApplyAsync(plan, new CompressOptions { Merge = _options.Merge }, cancellationToken: cancellation).ConfigureAwait(false);
        _apply.Stop();
        double applySeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Answered answer = Answer(compact, asked, sample, cancellation);
        Append(sample, cell, full, scores.Tokens, answer, took with { Plan = planSeconds, Apply = applySeconds }, report);
    }

    private void Append(
        EvalSample sample, Cell cell, EdgeSession full, int tokens, Answered answer, Took took, CompressionReport? report, string? error = null)
    {
        long fullBytes = _model.KvBytesPerToken(_options.CacheType) * tokens;
        _folder.Append(new CellResult
        {
            Dataset = sample.Dataset,
            Task = sample.Task,
            Id = sample.Id,
            Policy = cell.Policy,
            Ratio = cell.Budget.Ratio,
            Rows = cell.Budget.Rows,
            RatioAchieved = report?.RatioAchieved ?? 0,
            ContextTokens = tokens,
            Depth = sample.Depth,
            Length = sample.Length,
            Metric = sample.Metric,
            Score = answer.Score,
            Answer = answer.Text,
            Error = error,
            FullBytes = fullBytes,
            Bytes = report?.TotalRowBytesAfter ?? fullBytes,
            PeakPositions = Math.Max(took.Peak, tokens),
            LayerRows = report is null ? [] : [.. Enumerable.Range(0, report.Layers).Select(layer => (int)report.LayerRowsAfter(layer))],
            PrefillSeconds = full.PrefillTime.TotalSeconds,
            ScoreSeconds = took.Score,
            PlanSeconds = took.Plan,
            ApplySeconds = took.Apply,
            QuestionSeconds = answer.QuestionSeconds,
            AnswerTokens = answer.Tokens,
            DecodeSeconds = answer.DecodeSeconds,
        });
    }

    private Answered Answer(EdgeSession session, int[] asked, EvalSample sample, CancellationToken cancellation)
    {
        int start = session.Position;
        _answer.Start();
        try
        {
            return sample.Metric == MetricNames.Perplexity
                ? Continue(session, asked, SampleTokens.Continuation(_model, sample), cancellation)
                : Generate(session, asked, sample, cancellation);
        }
        finally
        {
            _answer.Stop();
            session.Rollback(start);
        }
    }

    // Greedy, to the end of the turn, the sample's limit, or the end of a line.
    private Answered Generate(EdgeSession session, int[] asked, EvalSample sample, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        session.Decode(asked);
        double question = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        int before = session.Position;
        IReadOnlyList<int> answer = Greedy.Continue(
            session.Kv!, sample.NewTokens, tokens => sample.StopsAtNewline && EndsLine(tokens), cancellationToken: cancellation);
        string text = _model.Detokenize([.. answer], wholeCharacters: true);
        return new Answered(text, Metrics.Score(sample, text), question, session.Position - before, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private bool EndsLine(IReadOnlyList<int> tokens) =>
        tokens.Count > LeastBeforeNewline && _model.Detokenize([tokens[^1]]).Contains('\n', StringComparison.Ordinal);

    // Perplexity of a text after the context: exp of the mean negative logarithm of its tokens' probabilities, from its second token on, since what
    // is left of a context has no logits for the first.
    private static Answered Continue(EdgeSession session, int[] asked, int[] text, CancellationToken cancellation)
    {
        const int Batch = 256;
        long start = Stopwatch.GetTimestamp();
        if (asked.Length > 0)
        {
            session.Decode(asked);
        }

        double question = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        double sum = 0;
        for (int first = 0; first < text.Length - 1; first += Batch)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(Batch, text.Length - 1 - first);
            session.Decode(text.AsSpan(first, count), allLogits: true);
            for (int i = 0; i < count; i++)
            {
                sum += NegativeLogarithm(session.Logits(i), text[first + i + 1]);
            }
        }

        return new Answered(
            null, Math.Exp(sum / (text.Length - 1)), question, text.Length - 1, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private static double NegativeLogarithm(ReadOnlySpan<float> logits, int token)
    {
        double max = logits[Greedy.Pick(logits)];
        double sum = 0;
        foreach (float logit in logits)
        {
            sum += Math.Exp(logit - max);
        }

        return max + Math.Log(sum) - logits[token];
    }

    // What costs the same is scored together, so that the time of a group is what each of its policies takes alone: the tokens that are fed, and all
    // that is more than a read of what the prefill left.
    private static string CostOf(ScoreRequest request) => string.Join('+', request.Statistics
        .Where(statistic => statistic is not (KeyNorms or ValueNorms or Learned or TokenClasses))
        .Select(statistic => statistic is TaskAttention task ? task.TaskSet.ToString() : statistic.ToString())
        .Distinct()
        .Order(StringComparer.Ordinal));

    // Tokens on top of the context at one time. A window is taken back before it is fed again.
    private static long PassTokens(ScoreRequest request, AttentionScores scores) => request.Statistics.Max(statistic => statistic switch
    {
        TaskAttention { TaskSet: WindowTaskSet } => 0,
        TaskAttention => scores.PassTokens,
        ReconstructionAttention reconstruction => Math.Min(reconstruction.Chunk, scores.PassTokens),
        _ => (long?)0,
    }) ?? 0;

    // Plans: null for the full cache.
    private sealed record Cell(string Policy, EvalBudget Budget, ICompressionPolicy? Plans);

    private sealed record Work(EvalSample Sample, IReadOnlyList<Cell> Cells, long Size);

    private sealed record Answered(string? Text, double Score, double QuestionSeconds, int Tokens, double DecodeSeconds);

    private sealed record Took(double Score, long Peak, double Plan = 0, double Apply = 0)
    {
        public static Took None { get; } = new(0, 0);
    }
}
