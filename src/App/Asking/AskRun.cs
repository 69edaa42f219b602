using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeKV.Cli.Documents;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Cli.Asking;

/// <summary>One run of <c>ask</c>: read, compress, answer. Writes nothing itself.</summary>
/// <param name="input">Standard input.</param>
internal sealed class AskRun(AskRequest request, IAskObserver observer, Stream input)
{
    /// <summary>Prefill queries that a window task set takes, as SnapKV's window does.</summary>
    private const int WindowTokens = 64;

    /// <summary>Decode steps timed for <c>--compare</c>: answers are often too short to tell.</summary>
    private const int MeasuredTokens = 32;

    public async Task<AskReport> RunAsync(CancellationToken ct)
    {
        // Cheap checks first: nobody wants to wait for a model to hear of a mistyped file name.
        Document document = await new DocumentReader("document", "--document").ReadAsync(request.Document, input, ct);
        ICompressionPolicy policy = PolicyRegistry.Create(request.Policy, request.Budget, await TaskSetAsync(ct));
        if (request.Profile is null && policy.Request.Statistics.HasFlag(ScoreStatistics.Learned))
        {
            throw new CommandException(
                ExitCode.Usage, $"--policy {policy.Name} ranks by learned scores, which need a profile of the model; give --profile FILE.");
        }

        GlobalTopK? whileReading = request.WhileReading ? WhileReading(policy) : null;
        string path = ModelLoading.Find(request.Model);
        ScoreProfile? profile = request.Profile is { } file ? ScoreProfile.Load(file) : null;

        Stopwatch loading = Stopwatch.StartNew();
        using EdgeModel model = await observer.StageAsync(
            "Loading the model", progress => ModelLoading.LoadAsync(path, request.GpuLayers, progress, ct));
        loading.Stop();

        // A blank line between document and question, whatever the file ends with.
        string text = document.Text.TrimEnd() + "\n\n";
        int[] tokens = model.TokenizeDocument(text);
        CheckLength(document, tokens.Length, model);

        using EdgeSession session = model.CreateSession(new SessionOptions
        {
            ContextSize = request.WhileReading ? 0 : request.ContextSize,
            CacheType = request.CacheType,
            Threads = request.Threads,
            Profile = profile,
        });
        CompressionReport? meanwhile = await observer.StageAsync(
            string.Create(CultureInfo.InvariantCulture, $"Reading {tokens.Length:N0} tokens"),
            progress => ReadAsync(session, tokens, whileReading, progress, ct));

        List<AnswerText?> full = [];
        foreach (string question in request.Questions)
        {
            full.Add(request.Compare ? await AnswerAsync(session, question, "full cache", ct) : null);
        }

        CompressionReport compression = meanwhile
            ?? await observer.StageAsync("Compressing its KV cache", progress => CompressAsync(session, policy, progress, ct));

        List<AnswerFacts> answers = [];
        for (int i = 0; i < request.Questions.Count; i++)
        {
            AnswerText compact = await AnswerAsync(session, request.Questions[i], request.Compare ? "compact   " : "A", ct);
            answers.Add(new AnswerFacts(request.Questions[i], full[i], compact));
        }

        return Report(model, document, tokens.Length, policy, compression, loading.Elapsed, answers);
    }

    private async Task<TaskSet?> TaskSetAsync(CancellationToken ct)
    {
        switch (request.TaskSet)
        {
            case null:
                return null;
            case "context":
                return TaskSet.Context;
            case "repeat":
                return TaskSet.Repeat;
            case "question":
                return TaskSet.Question(request.Questions);
            case "window":
                return TaskSet.Window(WindowTokens);
            default:
                Document texts = await new DocumentReader("task set", "--task-set").ReadAsync(request.TaskSet, input, ct);
                return TaskSet.Texts(texts.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        }
    }

    private void CheckLength(Document document, int tokens, EdgeModel model)
    {
        if (request.ContextSize > model.Window)
        {
            throw new CommandException(
                ExitCode.Usage,
                $"--context {request.ContextSize} is more than the model's window; give at most {model.Window}, or 0 for as many as the run needs.");
        }

        bool bounded = request.ContextSize > 0 && !request.WhileReading;
        int limit = bounded ? request.ContextSize : model.Window;
        int question = request.Questions.Max(question => model.TokenizeQuestion(question).Length);
        long allowed = (long)limit - question - request.MaxTokens;
        if (tokens > allowed)
        {
            string holder = bounded ? "--context of" : "the model's window of";
            string remedy = bounded && request.ContextSize < model.Window
                ? "raise --context, shorten the document or lower --max-tokens"
                : "shorten the document, lower --max-tokens or take a model with a longer window";
            throw new CommandException(
                ExitCode.Document,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"document {document.Name} is {tokens:N0} tokens long and may be {Math.Max(0, allowed):N0}: {holder} {limit:N0} also holds the question ({question:N0}) and the answer (up to {request.MaxTokens:N0}); {remedy}."));
        }
    }

    private static GlobalTopK WhileReading(ICompressionPolicy policy) =>
        policy is GlobalTopK { Source: RowScore.Learned } learned
            ? learned
            : throw new CommandException(
                ExitCode.Usage,
                $"--while-reading ranks by learned scores, and policy {policy.Name} needs the whole document; give --policy {GlobalTopK.LearnedName} --profile FILE.");

    /// <summary>Null where the document was read as it is.</summary>
    private async Task<CompressionReport?> ReadAsync(
        EdgeSession session, int[] tokens, GlobalTopK? whileReading, IProgress<double> progress, CancellationToken ct)
    {
        if (whileReading is not null)
        {
            return await MetAsync(session.CompressWhileReadingAsync(tokens, whileReading, options: null, progress, ct));
        }

        await session.PrefillAsync(tokens, progress, ct);
        return null;
    }

    private Task<CompressionReport> CompressAsync(
        EdgeSession session, ICompressionPolicy policy, IProgress<double> progress, CancellationToken ct) => MetAsync(session.CompressAsync(
            policy,
            new CompressOptions { MeasureTokens = request.Compare ? MeasuredTokens : 0 },
            new ScoringProgress(progress),
            ct));

    private async Task<CompressionReport> MetAsync(Task<CompressionReport> compression)
    {
        try
        {
            return await compression;
        }
        catch (PlanException e) when (request.Budget.Bytes is not null)
        {
            throw new CommandException(ExitCode.Memory, $"--kv-memory cannot be met: {e.Message.TrimEnd('.')}; give more, or a smaller --cache-type.", e);
        }
    }

    private async Task<AnswerText> AnswerAsync(EdgeSession session, string question, string source, CancellationToken ct)
    {
        GenerationOptions options = new()
        {
            MaxTokens = request.MaxTokens,
            Temperature = request.Sampling.Temperature,
            TopK = request.Sampling.TopK,
            TopP = request.Sampling.TopP,
            MinP = request.Sampling.MinP,
            Seed = request.Sampling.Seed,
        };
        observer.AnswerBegins(question, source);
        StringBuilder answer = new();
        await foreach (string piece in session.GenerateAsync(question, options, ct))
        {
            // Models like to begin with a blank; nobody wants to read it.
            string shown = answer.Length == 0 ? piece.TrimStart() : piece;
            answer.Append(shown);
            observer.AnswerPiece(shown);
        }

        observer.AnswerEnds();
        GenerationStatistics statistics = session.LastGeneration!;
        return new AnswerText(
            answer.ToString().TrimEnd(),
            statistics.Tokens,
            statistics.PromptTime.TotalSeconds,
            statistics.DecodedTokens,
            statistics.DecodeTime.TotalSeconds);
    }

    private AskReport Report(
        EdgeModel model, Document document, int tokens, ICompressionPolicy policy, CompressionReport compression, TimeSpan loading, IReadOnlyList<AnswerFacts> answers)
    {
        IReadOnlyList<int> after = compression.RowsAfter;
        return new AskReport(
            ModelFacts.Of(model),
            new DocumentFacts(document.Name, document.Bytes, tokens),
            compression.Policy,
            policy.Request.NeedsAttention ? request.TaskSet ?? NameOf(policy.Request.TaskSet) : null,
            request.CacheType.ToString().ToLowerInvariant(),
            compression.RatioAsked,
            compression.RatioAchieved,
            new CacheFacts(compression.TotalRowsBefore, compression.TotalRowsBefore * compression.RowBytes, compression.PeakBytes is null ? compression.BytesBefore : null),
            new CacheFacts(compression.TotalRowsAfter, compression.TotalRowsAfter * compression.RowBytes, compression.BytesAfter),
            compression.PeakBytes,
            [.. Enumerable.Range(0, compression.Layers).Select(
                layer => after.Skip(layer * compression.KvHeads).Take(compression.KvHeads).ToArray())],
            new StageSeconds(
                loading.TotalSeconds,
                compression.Prefill.TotalSeconds,
                compression.Scoring.TotalSeconds,
                compression.Planning.TotalSeconds,
                compression.Applying.TotalSeconds),
            new SpeedFacts(
                compression.Prefill > TimeSpan.Zero ? tokens / compression.Prefill.TotalSeconds : null,
                compression.TokensPerSecondBefore ?? Speed(answers.Select(answer => answer.Full)),
                compression.TokensPerSecondAfter ?? Speed(answers.Select(answer => answer.Compact))),
            answers);
    }

    private static string NameOf(TaskSet tasks) => tasks switch
    {
        ContextTaskSet => "context",
        RepeatTaskSet => "repeat",
        QuestionTaskSet => "question",
        WindowTaskSet => "window",
        _ => "texts",
    };

    // Over all answers together, each weighing by its length.
    private static double? Speed(IEnumerable<AnswerText?> answers)
    {
        int tokens = answers.Sum(answer => answer?.DecodedTokens ?? 0);
        double seconds = answers.Sum(answer => answer?.DecodeSeconds ?? 0);
        return tokens > 0 && seconds > 0 ? tokens / seconds : null;
    }

    // Scoring is all of the wait; what follows takes less than one frame of a progress bar per cent.
    private sealed class ScoringProgress(IProgress<double> share) : IProgress<CompressionProgress>
    {
        public void Report(CompressionProgress value) => share.Report(value.Stage == CompressionStage.Scoring ? value.Share : 1);
    }
}
