using System.Numerics.Tensors;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// CompressKV's table (arXiv 2508.02401): what each attention head pays to a needle while the model says it again (semantic retrieval scores,
/// equation 5), and what each layer would lose with few rows (equations 8-12).
/// </summary>
/// <remarks>
/// Each step whose token is one of the needle's adds the attention of the query that made it, over all of the needle's tokens, once (the authors' code
/// adds it once per position of the needle that has this token). All prompts are one data set.
/// </remarks>
internal sealed class CompressKVTable : TableCalibration
{
    /// <summary>Tokens of an answer at most.</summary>
    public const int AnswerTokens = 50;

    /// <summary>Prompts that layer errors are taken from.</summary>
    private const int ErrorPrompts = 12;

    private const int ErrorSteps = 24;
    private const int ErrorRows = 32;
    private const double Epsilon = 1e-6;

    private readonly IReadOnlyList<NeedlePrompt> _prompts;
    private readonly string _source;
    private readonly double _least;

    /// <param name="model">The model.</param>
    /// <param name="options">Threads.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="source">What they are, in words.</param>
    /// <param name="least">The recall that an answer has to pass to count, below 1.</param>
    public CompressKVTable(EdgeModel model, CalibrationOptions options, IReadOnlyList<NeedlePrompt> prompts, string source, double least = 0.5)
        : base(model, options)
    {
        _prompts = prompts;
        _source = source;
        _least = least;
    }

    public override string Table => CompressKV.PolicyName;

    public override string Settings => Text($"{_source} {_least:R} {ErrorPrompts} {Options.Threads} {string.Join(',', _prompts.SelectMany(prompt => prompt.Tokens))}");

    public override int Units => _prompts.Count + ErrorPrompts;

    // Scores of heads, errors of layers, recall by prompt, steps that were looked at.
    public override int Length => HeadCount + Layers + _prompts.Count + 1;

    private int HeadCount => Geometry.Heads.Total;

    private int Layers => Geometry.Layers.Count;

    public override CalibrationStage Stage(int unit) => unit < _prompts.Count ? CalibrationStage.RetrievalHeads : CalibrationStage.LayerErrors;

    public override async Task AddAsync(int unit, double[] sums, CancellationToken cancellation)
    {
        if (unit < _prompts.Count)
        {
            await AddScoresAsync(unit, sums, cancellation).ConfigureAwait(false);
        }
        else if (Counted(sums).Skip(unit - _prompts.Count).Take(1).ToArray() is [int prompt])
        {
            await AddErrorsAsync(_prompts[prompt], sums, cancellation).ConfigureAwait(false);
        }
    }

    public override ProfileTable Finish(double[] sums)
    {
        int[] counted = [.. Counted(sums)];
        if (counted.Length == 0)
        {
            throw new ProfileException($"{Model.Description} said none of the sentences again that it was asked for in {_prompts.Count} prompts: there are no retrieval heads to be found.");
        }

        float[] scores = MeanScores(sums, counted.Length);
        ReadOnlySpan<double> all = sums.AsSpan(HeadCount, Layers);
        double sum = TensorPrimitives.Sum(all);
        if (!(sum > 0))
        {
            throw new ProfileException($"{Model.Description} gave no token in answer to the prompts, so there are no layer errors.");
        }

        float[] errors = [.. all.ToArray().Select(error => (float)(error / sum))];
        HeadsByLayer heads = CompressKVCalibration.BestOf(scores, Geometry.Heads);
        Dictionary<string, string> provenance = new()
        {
            ["method"] = "CompressKV, arXiv 2508.02401: attention of generated tokens to the needle they repeat, mean over prompts that count; error of a layer's output with 32 rows and the generated ones, share of all layers",
            ["prompts"] = _source,
            ["counted"] = Text($"{counted.Length} of {_prompts.Count} prompts, those with a ROUGE-1 recall of the needle above {_least}; mean recall of all {Recalls(sums).Average():0.00}"),
            ["errors"] = Text($"of {Math.Min(counted.Length, ErrorPrompts)} prompts, {sums[^1]:0} decode steps"),
            ["threads"] = Text($"{Options.Threads}"),
        };
        for (int layer = 0; layer < Layers; layer++)
        {
            provenance[Text($"layer {layer}")] = Text($"heads {string.Join(' ', heads[layer].ToArray())}, error {errors[layer]:0.0000}");
        }

        return ProfileTable.OfHeads(
            Table,
            Geometry.Heads,
            [(CompressKVCalibration.HeadScores, scores)],
            [new ProfileArray(CompressKVCalibration.Errors, [Layers], errors)],
            provenance);
    }

    private IEnumerable<double> Recalls(double[] sums) => sums.Skip(HeadCount + Layers).Take(_prompts.Count);

    private IEnumerable<int> Counted(double[] sums) =>
        Recalls(sums).Index().Where(prompt => prompt.Item > _least).Select(prompt => prompt.Index);

    private float[] MeanScores(double[] sums, int counted) => [.. sums.Take(HeadCount).Select(score => (float)(score / Math.Max(1, counted)))];

    private async Task AddScoresAsync(int index, double[] sums, CancellationToken cancellation)
    {
        NeedlePrompt prompt = _prompts[index];
        EdgeSession session = Session();
        await session.PrefillAsync(prompt.Tokens, progress: null, cancellation).ConfigureAwait(false);
        int[] answer = Answer(session, AnswerTokens, cancellation);
        int[] needle = prompt.Tokens[prompt.First..prompt.End];
        double recall = NeedlePrompt.Recall(Model.Detokenize(needle), Model.Detokenize(answer));
        double[] scores = new double[HeadCount];
        if (recall > _least)
        {
            // The query that makes a token is that of the token before it.
            int last = prompt.Tokens.Length - 1;
            session.Rollback(last);
            int[] queries = answer.Length == 0 ? [] : [prompt.Tokens[last], .. answer[..^1]];
            bool[] seen = Array.ConvertAll(answer, token => needle.Contains(token));
            for (int start = 0, end; start < queries.Length; start = end)
            {
                end = Array.FindIndex(seen, start, other => other != seen[start]);
                end = end < 0 ? queries.Length : end;
                if (seen[start])
                {
                    session.DecodeSeen(queries.AsSpan(start..end), prompt.End, weights => AddNeedle(weights, prompt, scores), cancellation);
                }
                else
                {
                    _ = session.Decode(queries.AsSpan(start..end));
                }
            }
        }

        TensorPrimitives.Add(sums.AsSpan(0, HeadCount), scores, sums.AsSpan(0, HeadCount));
        sums[HeadCount + Layers + index] = recall;
    }

    private static void AddNeedle(ReadOnlySpan<float> weights, NeedlePrompt prompt, double[] scores)
    {
        for (int head = 0; head < scores.Length; head++)
        {
            foreach (float weight in weights.Slice(head * prompt.End + prompt.First, prompt.End - prompt.First))
            {
                scores[head] += weight;
            }
        }
    }

    private async Task AddErrorsAsync(NeedlePrompt prompt, double[] sums, CancellationToken cancellation)
    {
        EdgeSession session = Session();
        await session.PrefillAsync(prompt.Tokens, progress: null, cancellation).ConfigureAwait(false);
        int[] answer = Answer(session, ErrorSteps, cancellation);
        session.Rollback(prompt.Tokens.Length);

        // With equal errors every layer keeps the mean.
        HeadsByLayer heads = CompressKVCalibration.BestOf(MeanScores(sums, counted: 1), Geometry.Heads);
        CompressKV policy = new()
        {
            Calibration = new CompressKVCalibration(heads, Enumerable.Repeat(1.0 / Layers, Layers)),
            Budget = Budget.FromRows(Math.Min(ErrorRows, prompt.Tokens.Length)),
        };
        using AttentionScores scores = await session.ScoreAsync(policy.Request, progress: null, cancellation).ConfigureAwait(false);
        CompressionPlan plan = policy.Plan(scores);
        int[][] kept = [.. Enumerable.Range(0, Layers).Select(layer => plan.Positions(layer, 0).ToArray())];
        if (answer.Length > 0)
        {
            double[] errors = session.EvictionErrors(kept, answer, Epsilon, cancellation);
            TensorPrimitives.Add(sums.AsSpan(HeadCount, Layers), errors, sums.AsSpan(HeadCount, Layers));
            sums[^1] += answer.Length;
        }
    }

    private EdgeSession Session() => Empty(_prompts.Max(prompt => prompt.Tokens.Length) + AnswerTokens);

    /// <summary>What the model says, greedily, up to a newline or the end of its turn.</summary>
    private int[] Answer(EdgeSession session, int most, CancellationToken cancellation)
    {
        IReadOnlyList<int> answer = Greedy.Continue(
            session.Kv!, most, tokens => BreaksLine(tokens[^1]), cancellationToken: cancellation);
        return answer is [.., var last] && BreaksLine(last) ? [.. answer.SkipLast(1)] : [.. answer];
    }

    private bool BreaksLine(int token) => Model.Detokenize([token]).Contains('\n', StringComparison.Ordinal);
}
