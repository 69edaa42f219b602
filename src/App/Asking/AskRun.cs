using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeKV.Cli.Documents;
using EdgeKV.Compression;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;
using EdgeKV.Reading;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Cli.Asking;

/// <summary>One run of <c>ask</c>: read, compress, answer. Writes nothing itself.</summary>
/// <param name="input">Standard input.</param>
internal sealed class AskRun(AskRequest request, IAskObserver observer, Stream input)
{
    /// <summary>Prefill queries that a window task set takes, as SnapKV's window does.</summary>
    private const int WindowTokens = 64;

    /// <summary>Decode steps timed for <c>--compare</c>: answers are often too short to tell.</summary>
    private const int MeasuredTokens = 32;

    private CompressOptions Options => new()
    {
        MeasureTokens = request.Compare ? MeasuredTokens : 0,
        Rerotate = request.Rerotate,
        Merge = request.Merge,
    };

    public async Task<AskReport> RunAsync(CancellationToken ct)
    {
        // Cheap checks first: nobody wants to wait for a model to hear of a mistyped file name.
        Document document = await new DocumentReader("document", "--document").ReadAsync(request.Document, input, ct);
        TaskSet? tasks = request.TaskSet is { } named ? await TaskSetAsync(named, ct) : null;
        string path = ModelLoading.Find(request.Model);
        AskPolicy asked = new(request, tasks, path);
        PolicyResolution resolved = asked.Resolve(request.WhileReading ? ContextRoom.None : ContextRoom.Ample);
        GlobalRanking? whileReading = request.WhileReading ? asked.WhileReading(resolved.Policy) : null;

        ModelOptions options = request.Loading with { FitContextSize = request.ContextSize > 0 ? request.ContextSize : MostTokens(document) };
        Stopwatch loading = Stopwatch.StartNew();
        using EdgeModel model = await observer.StageAsync(
            "Loading the model", progress => ModelLoading.LoadAsync(path, options, progress, ct));
        loading.Stop();
        if (ModelLoading.Chosen(model, options) is { } chosen)
        {
            observer.Note(chosen);
        }

        CheckOptions(model);

        // A blank line between document and question, whatever the file ends with.
        string text = document.Text.TrimEnd() + "\n\n";
        int[] tokens = model.TokenizeDocument(text);
        CheckLength(document, tokens.Length, resolved.Policy, model);
        if (!request.WhileReading)
        {
            int limit = request.ContextSize > 0 ? request.ContextSize : model.Window;
            resolved = asked.Resolve(new ContextRoom(tokens.Length, limit, model.ProbeTokens));
        }

        (ICompressionPolicy policy, ScoreProfile? profile, string? note) = resolved;
        CheckCompression(model, policy, tokens.Length);

        using EdgeSession session = model.CreateSession(new SessionOptions
        {
            ContextSize = request.WhileReading ? 0 : request.ContextSize,
            CacheType = request.CacheType,
            Threads = request.Threads,
            LearnedScores = profile is not null && policy.Request.Statistics.Any(statistic => statistic is Learned),
            Profile = profile,
        });
        if (note is not null)
        {
            observer.Note($"{note}{(resolved.LacksProfile ? $"; `{asked.Calibrate}` makes one" : string.Empty)}.");
        }

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

        return Report(model, document, tokens.Length, policy, asked.Threshold, compression, loading.Elapsed, answers);
    }

    private TaskSet? Named(string name) => name switch
    {
        "context" => TaskSet.Context,
        "repeat" => TaskSet.Repeat,
        "question" => TaskSet.Question(request.Questions),
        "window" => TaskSet.Window(WindowTokens),
        _ => null,
    };

    private async Task<TaskSet> TaskSetAsync(string given, CancellationToken ct)
    {
        if (Named(given.ToLowerInvariant()) is { } tasks)
        {
            return tasks;
        }

        Document texts = await new DocumentReader("task set", "--task-set").ReadAsync(given, input, ct);
        return TaskSet.Texts(texts.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }

    // What no document changes, before one is cut into tokens.
    private void CheckOptions(EdgeModel model)
    {
        if (request.ContextSize > model.Window)
        {
            throw new CommandException(
                ExitCode.DoesNotFit,
                $"--context {request.ContextSize} is more than the model's window; give at most {model.Window}, or 0 for as many as the run needs.");
        }
    }

    // Tokens cannot be counted before the model is loaded. Few texts have more than one for two characters.
    private static int MostTokens(Document document) => (document.Text.Length / 2) + 1024;

    private void CheckLength(Document document, int tokens, ICompressionPolicy policy, EdgeModel model)
    {
        bool bounded = request.ContextSize > 0 && !request.WhileReading;
        int limit = bounded ? request.ContextSize : model.Window;
        (int index, int question) = request.Questions.Index().Select(asked => (asked.Index, model.TokenizeQuestion(asked.Item).Length)).MaxBy(asked => asked.Length);
        long allowed = (long)limit - question - request.MaxTokens;
        long withoutQuestion = (long)limit - model.TokenizeQuestion(string.Empty).Length - request.MaxTokens;
        string holder = string.Create(CultureInfo.InvariantCulture, $"{(bounded ? "--context of" : "the model's window of")} {limit:N0}");
        string larger = bounded && request.ContextSize < model.Window ? "raise --context" : "take a model with a longer window";
        if (withoutQuestion < 1)
        {
            throw TooLong($"--max-tokens {request.MaxTokens} leaves no place for a document and a question: {holder} also holds the answer; lower it or {larger}.");
        }

        if (allowed < 1)
        {
            string which = request.Questions.Count > 1 ? $"question {index + 1} of {request.Questions.Count}" : "the question";
            throw TooLong(
                $"{which} is {question:N0} tokens long and leaves no place for the document: {holder} also holds the answer (up to {request.MaxTokens:N0}); shorten the question, lower --max-tokens or {larger}.");
        }

        if (request is { WhileReading: true, Rerotate: true })
        {
            // What stays of the document takes positions, and no more; that a chunk fits beside it is the session's to say.
            CheckKept(document, tokens, policy, model, allowed);
        }
        else if (tokens > withoutQuestion)
        {
            string remedy = bounded && request.ContextSize < model.Window
                ? "raise --context, shorten the document or lower --max-tokens"
                : request.Rerotate
                ? "read it in parts with --while-reading, shorten it or lower --max-tokens"
                : "shorten the document, lower --max-tokens or take a model with a longer window";
            throw TooLong(
                $"document {document.Name} is {tokens:N0} tokens long and may be {allowed:N0}: {holder} also holds the question ({question:N0}) and the answer (up to {request.MaxTokens:N0}); {remedy}.");
        }
        else if (tokens > allowed)
        {
            throw TooLong(
                $"document {document.Name} ({tokens:N0} tokens) and the question ({question:N0}) are too long together: {holder} also holds the answer (up to {request.MaxTokens:N0}), so that both may have {limit - request.MaxTokens:N0}; shorten one of them, lower --max-tokens or {larger}.");
        }
    }

    private static CommandException TooLong(FormattableString message) => new(ExitCode.DoesNotFit, message.ToString(CultureInfo.InvariantCulture));

    private static void CheckKept(Document document, int tokens, ICompressionPolicy policy, EdgeModel model, long allowed)
    {
        if (policy.Budget.Bytes is null && policy.Budget.EqualRows(model.Geometry.KvHeads, tokens) is var kept && kept > allowed)
        {
            throw new CommandException(
                ExitCode.DoesNotFit,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{kept:N0} of the {tokens:N0} tokens of document {document.Name} shall stay, and with question and answer the model's window has place for {Math.Max(0, allowed):N0}; give a higher --ratio, fewer --rows or lower --max-tokens."));
        }
    }

    // While a document is read, other rules say how many rows stay: the session knows them.
    private void CheckCompression(EdgeModel model, ICompressionPolicy policy, int tokens)
    {
        try
        {
            int limit = request.ContextSize > 0 && !request.WhileReading ? request.ContextSize : model.Window;
            model.EnsureCompressible(request.CacheType, policy, tokens, limit, request.WhileReading ? null : Options);
        }
        catch (PlanException e) when (request.Rerotate && !request.WhileReading && !model.CanCloseUp(request.CacheType, policy, tokens, Options))
        {
            throw new CommandException(ExitCode.Usage, e.Message, e);
        }
        catch (PlanException e) when (request.Budget?.Bytes is not null)
        {
            throw Unmet(e);
        }
    }

    /// <summary>Null where the document was read as it is.</summary>
    private async Task<CompressionReport?> ReadAsync(
        EdgeSession session, int[] tokens, GlobalRanking? whileReading, IProgress<double> progress, CancellationToken ct)
    {
        if (whileReading is not null)
        {
            return await MetAsync(session.CompressWhileReadingAsync(
                tokens, whileReading, new ReadingOptions { Rerotate = request.Rerotate }, progress, ct));
        }

        await session.PrefillAsync(tokens, progress, ct);
        return null;
    }

    private Task<CompressionReport> CompressAsync(
        EdgeSession session, ICompressionPolicy policy, IProgress<double> progress, CancellationToken ct) => MetAsync(session.CompressAsync(
            policy,
            Options,
            new ScoringProgress(progress),
            ct));

    private async Task<CompressionReport> MetAsync(Task<CompressionReport> compression)
    {
        try
        {
            return await compression;
        }
        catch (PlanException e) when (request.Budget?.Bytes is not null)
        {
            throw Unmet(e);
        }
    }

    private static CommandException Unmet(PlanException e) =>
        new(ExitCode.DoesNotFit, $"--kv-memory cannot be met: {e.Message.TrimEnd('.')}; give more, or a smaller --cache-type.", e);

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
        Answer pieces = session.GenerateAsync(question, options, ct);
        await foreach (string piece in pieces)
        {
            // Models like to begin with a blank; nobody wants to read it.
            string shown = answer.Length == 0 ? piece.TrimStart() : piece;
            answer.Append(shown);
            observer.AnswerPiece(shown);
        }

        observer.AnswerEnds();
        AnswerResult result = pieces.Result;
        return new AnswerText(
            answer.ToString().TrimEnd(),
            result.Tokens.Count,
            result.PromptTime.TotalSeconds,
            result.DecodedTokens,
            result.DecodeTime.TotalSeconds);
    }

    private AskReport Report(
        EdgeModel model,
        Document document,
        int tokens,
        ICompressionPolicy policy,
        double? threshold,
        CompressionReport compression,
        TimeSpan loading,
        IReadOnlyList<AnswerFacts> answers)
    {
        IReadOnlyList<int> after = compression.RowsAfter;
        return new AskReport(
            ModelFacts.Of(model),
            new DocumentFacts(document.Name, document.Bytes, tokens),
            compression.Policy,
            TaskSetOf(policy.Request),
            ScoreFacts.Of(compression.Scores!),
            request.CacheType.ToString().ToLowerInvariant(),
            threshold,
            compression.RatioAsked,
            compression.RatioAchieved,
            new CacheFacts(compression.TotalRowsBefore, compression.TotalRowBytesBefore, compression.PeakBytes is null ? compression.BytesBefore : null),
            new CacheFacts(compression.TotalRowsAfter, compression.TotalRowBytesAfter, compression.BytesAfter),
            compression.PeakBytes,
            [.. Enumerable.Range(0, compression.Layers).Select(
                layer => after.Skip(compression.KvHeads.First(layer)).Take(compression.KvHeads[layer]).ToArray())],
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
            answers)
        {
            Rerotated = compression.Rerotated,
            MergedRows = compression.Merging is null ? null : compression.MergedRows,
            MergeSeconds = compression.Merging?.TotalSeconds,
        };
    }

    // Whose attention was seen; null where no pass was run.
    private string? TaskSetOf(ScoreRequest scores) => scores.NeedsAttention
        ? request.TaskSet ?? string.Join('+', scores.Statistics.Where(statistic => statistic.NeedsAttention).Select(statistic => statistic.Name).Distinct())
        : null;

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
