using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;
using static EdgeKV.Calibration.CalibrationState;

namespace EdgeKV.Calibration;

/// <summary>One calibration.</summary>
internal sealed class CalibrationRun
{
    public const int SmallestText = 64;
    private const int ProbeTokens = 64;
    private const int RepeatedTokens = 128;
    private const int CheckedShare = 10;
    private const int CheckpointEvery = 4;

    // What a threshold may cost the next token's distribution, in nats.
    private static readonly (string Name, double Bound)[] Qualities = [("high", 0.05), ("medium", 0.15), ("low", 0.4)];

    // Last rows stay for the sake of a question, and none follows these texts: what is checked is the map.
    private static readonly GlobalRanking Checked = new(new LearnedScorer { Recent = 0 });

    private static readonly Statistic RepeatMaxima = new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max);

    private readonly EdgeModel _model;
    private readonly CalibrationTexts _texts;
    private readonly CalibrationOptions _options;
    private readonly IProgress<CalibrationProgress>? _progress;
    private readonly int[] _instruction;
    private readonly int _textTokens;
    private readonly CalibrationState _state;
    private readonly string? _checkpoint;

    public CalibrationRun(EdgeModel model, CalibrationTexts texts, CalibrationOptions options, IProgress<CalibrationProgress>? progress)
    {
        model.EnsureSupported();
        _model = model;
        _texts = texts;
        _options = options;
        _progress = progress;
        _instruction = model.RepeatInstruction();
        int opening = model.TokenizeDocument(string.Empty).Length;
        int fits = (model.Window - _instruction.Length - opening) / 2 - opening;
        if (fits < SmallestText)
        {
            throw new ContextWindowException(
                $"Learning needs texts of {SmallestText} tokens and their repetition; the model's window of {model.Window} tokens holds no such text.",
                2 * (SmallestText + opening) + _instruction.Length,
                model.Window);
        }

        _textTokens = Math.Min(options.TextTokens, fits) + opening;
        string key = Hash(
            model.Fingerprint,
            texts.Hash(),
            string.Create(CultureInfo.InvariantCulture, $"{options.Tokens} {_textTokens} {options.Ridge:R} {options.Seed} {options.Threads}"));
        _state = new CalibrationState(model, key);
        _checkpoint = options.Checkpoint is { } path ? OutputFile.Companion(path, $".{key[..12]}") : null;
    }

    private long CheckTokens => Math.Max(_options.Tokens / CheckedShare, 2 * SmallestText);

    /// <summary>Learns and checks. The checkpoint stays until it is forgotten: the profile may be wanted for more.</summary>
    public async Task<ScoreProfile> RunAsync(CancellationToken cancellation)
    {
        if (_checkpoint is not null && !_state.Read(_checkpoint))
        {
            // Now rather than after the first minutes: it may be that it cannot be written.
            Checkpoint();
        }

        try
        {
            await LearnAsync(cancellation).ConfigureAwait(false);
            float[] weights = Solve();
            await CheckAsync(weights, cancellation).ConfigureAwait(false);
            return ScoreProfile.Of(_model, weights, Provenance(), Thresholds());
        }
        catch (Exception) when (_state[Counter.Tokens] == 0)
        {
            // There is nothing to go on from.
            Forget();
            throw;
        }
        catch (OperationCanceledException)
        {
            Checkpoint();
            throw;
        }
    }

    private async Task LearnAsync(CancellationToken cancellation)
    {
        if (_state[Counter.Tokens] >= _options.Tokens || _state[Counter.Checked] > 0)
        {
            return;
        }

        using EdgeSession session = _model.CreateSession(Options(profile: null));
        session.KeepInputs(_textTokens);
        float[][] inputs = [.. _model.Geometry.Layers.Select(_ => new float[_textTokens * _model.EmbeddingSize])];
        foreach ((int index, CalibrationText text) in _texts.Take(heldOut: false, _options.TextTokens, _options.Seed).Index())
        {
            if (_state[Counter.Tokens] >= _options.Tokens)
            {
                break;
            }

            if (index < _state[Counter.Texts])
            {
                continue;
            }

            int[] tokens = Tokenize(text, extra: 0);
            if (tokens.Length >= SmallestText)
            {
                await LearnAsync(session, tokens, inputs, cancellation).ConfigureAwait(false);
                _state[Counter.Tokens] += tokens.Length;
            }

            _state[Counter.Texts]++;
            _state[Counter.Mixed] += text.IsMixed ? 1 : 0;
            Report(CalibrationStage.Learning);
            if (_state[Counter.Texts] % CheckpointEvery == 0)
            {
                Checkpoint();
            }
        }
    }

    private async Task LearnAsync(EdgeSession session, int[] tokens, float[][] inputs, CancellationToken cancellation)
    {
        session.Clear();
        await session.PrefillAsync(tokens, progress: null, cancellation).ConfigureAwait(false);
        int size = tokens.Length * _model.EmbeddingSize;
        for (int layer = 0; layer < inputs.Length; layer++)
        {
            session.ReadInputs(layer, inputs[layer].AsSpan(0, size));
        }

        using AttentionScores scores = await session.ScoreAsync(
            new ScoreRequest(RepeatMaxima), progress: null, cancellation).ConfigureAwait(false);
        Parallel.For(0, inputs.Length, layer =>
        {
            float[] targets = new float[scores.KvHeads[layer] * tokens.Length];
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                CopyTarget(scores, layer, head, targets.AsSpan(head * tokens.Length, tokens.Length));
            }

            _state.Equations[layer].Add(inputs[layer].AsSpan(0, size), targets);
        });
    }

    // ln(s + 1e-7), s being the mean over the group of the largest attention from the repetition.
    private static void CopyTarget(AttentionScores scores, int layer, int head, Span<float> target)
    {
        scores.CopyGroupMean(RepeatMaxima, layer, head, target);
        AttentionLogarithm.Of(target);
    }

    private float[] Solve()
    {
        if (_state[Counter.Tokens] < SmallestText)
        {
            Forget();
            throw new CalibrationTextException($"The texts in {_texts.Name} are too short to learn from; give longer ones.");
        }

        HeadLayout kvHeads = _model.Geometry.KvHeads;
        int size = _model.EmbeddingSize + 1;
        float[] weights = new float[kvHeads.Total * size];
        Parallel.For(0, kvHeads.Layers, layer => _state.Equations[layer].Solve(
            _options.Ridge, weights.AsSpan(kvHeads.First(layer) * size, kvHeads[layer] * size)));
        return weights;
    }

    private async Task CheckAsync(float[] weights, CancellationToken cancellation)
    {
        ScoreProfile profile = ScoreProfile.Of(_model, weights, new Dictionary<string, string>());
        foreach ((int index, CalibrationText text) in _texts.Take(heldOut: true, _options.TextTokens, _options.Seed).Index())
        {
            if (_state[Counter.CheckedTokens] >= CheckTokens)
            {
                break;
            }

            if (index < _state[Counter.Checked])
            {
                continue;
            }

            int[] tokens = Tokenize(text, ProbeTokens);
            int context = Math.Min(tokens.Length, _textTokens);
            if (context >= SmallestText)
            {
                await CheckAsync(profile, tokens, context, cancellation).ConfigureAwait(false);
                _state[Counter.CheckedTokens] += context;
            }

            _state[Counter.Checked]++;
            Report(CalibrationStage.Checking);
            Checkpoint();
        }

        if (_state[Counter.CheckedTokens] == 0)
        {
            Forget();
            throw new CalibrationTextException($"The texts in {_texts.Name} are too few to check what was learned; give more of them.");
        }
    }

    private async Task CheckAsync(ScoreProfile profile, int[] tokens, int context, CancellationToken cancellation)
    {
        using EdgeSession session = _model.CreateSession(Options(profile));
        await session.PrefillAsync(tokens.AsMemory(0, context), progress: null, cancellation).ConfigureAwait(false);
        List<(int Kind, CalibrationProbe Probe, float[] Full)> probes = [];
        int opening = _model.Chat.OpeningLength(tokens);
        int repeated = Math.Min(RepeatedTokens, context - opening);
        Add(0, new CalibrationProbe(tokens[context..], 0));
        Add(1, new CalibrationProbe([.. _instruction, .. tokens.AsSpan(opening, repeated)], _instruction.Length));

        using AttentionScores scores = await session.ScoreAsync(
            new ScoreRequest(RepeatMaxima, new Learned()), progress: null, cancellation).ConfigureAwait(false);

        // Everything that can be cancelled comes before the sums: a text is in all of them or in none.
        List<(double Ratio, double[] Divergences)> costs = [];
        foreach (double threshold in CalibrationQuality.Thresholds)
        {
            // A larger threshold's plan is part of the one before.
            CompressionPlan plan = (Checked with { Limit = threshold }).Plan(scores);
            await session.ApplyAsync(plan, cancellationToken: cancellation).ConfigureAwait(false);
            costs.Add((plan.Ratio, [.. probes.Select(p => p.Probe.Divergence(session, p.Full))]));
        }

        CalibrationQuality quality = _state.Quality;
        float[] actual = new float[context];
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                CopyTarget(scores, layer, head, actual);
                quality.AddScores(layer, head, scores.Learned(layer, head), actual);
            }
        }

        quality.AddText(
            context,
            [.. CalibrationQuality.Ratios.Select(ratio => (Checked with { Ratio = ratio }).Plan(scores).Overlap(
                new GlobalRanking(new TaskScorer()) { Ratio = ratio }.Plan(scores)))]);
        foreach ((int kind, _, _) in probes)
        {
            quality.AddProbe(kind);
        }

        for (int i = 0; i < costs.Count; i++)
        {
            quality.AddRatio(i, costs[i].Ratio);
            for (int p = 0; p < probes.Count; p++)
            {
                quality.AddDivergence(i, probes[p].Kind, costs[i].Divergences[p]);
            }
        }

        foreach ((_, _, float[] full) in probes)
        {
            ArrayPool<float>.Shared.Return(full);
        }

        void Add(int kind, CalibrationProbe probe)
        {
            if (probe.Tokens.Length > probe.First)
            {
                probes.Add((kind, probe, probe.Run(session)));
            }
        }
    }

    private SessionOptions Options(ScoreProfile? profile) => new()
    {
        // A text, its repetition and the instruction; one batch, since inputs are kept of one, and so are a probe's logits.
        ContextSize = Math.Min(_model.Window, 2 * _textTokens + _instruction.Length + ProbeTokens),
        BatchSize = Math.Max(_textTokens, _instruction.Length + RepeatedTokens),
        Threads = _options.Threads,

        // Not the profile that the model may have: it is about to be replaced, perhaps because it is damaged.
        LearnedScores = profile is not null,
        Profile = profile,
    };

    private int[] Tokenize(CalibrationText text, int extra)
    {
        int[] tokens = _model.TokenizeDocument(text.Text);
        return tokens.Length > _textTokens + extra ? tokens[..(_textTokens + extra)] : tokens;
    }

    // The share of time: checking a text takes about half as long again as learning from one.
    private void Report(CalibrationStage stage)
    {
        double learning = Math.Min(1, (double)_state[Counter.Tokens] / _options.Tokens);
        double checking = Math.Min(1, (double)_state[Counter.CheckedTokens] / CheckTokens);
        const double Checking = 1.5 / CheckedShare;
        _progress?.Report(new CalibrationProgress(
            stage, stage == CalibrationStage.Learning ? learning / (1 + Checking) : (1 + Checking * checking) / (1 + Checking)));
    }

    private void Checkpoint()
    {
        if (_checkpoint is not null)
        {
            _state.Write(_checkpoint);
        }
    }

    /// <summary>Forgets how far it was.</summary>
    public void Forget()
    {
        if (_checkpoint is not null)
        {
            File.Delete(_checkpoint);
        }
    }

    private Dictionary<string, string> Provenance()
    {
        CalibrationQuality quality = _state.Quality;
        HeadLayout kvHeads = _model.Geometry.KvHeads;
        Dictionary<string, string> provenance = new()
        {
            ["method"] = "ridge regression per layer from the input of attention to ln(s + 1e-7), s being the largest attention that a repetition gave, mean over the group",
            ["texts"] = Text($"{_state[Counter.Texts]} texts from {_texts.Files} files of {_texts.Name}; {_state[Counter.Mixed]} with sentences of numbers and identifiers mixed in"),
            ["textsSha256"] = _texts.Hash(),
            ["tokens"] = Text($"{_state[Counter.Tokens]} learned from, {_state[Counter.CheckedTokens]} of {_state[Counter.Checked]} other texts checked with"),
            ["options"] = Text($"{_textTokens} tokens a text at most, the chat template's opening included, ridge {_options.Ridge:R}, seed {_options.Seed}"),
            ["r2"] = Text($"{quality.R2():0.000} (mean over layers; {Enumerable.Range(0, kvHeads.Layers).Min(quality.R2):0.000} to {Enumerable.Range(0, kvHeads.Layers).Max(quality.R2):0.000})"),
            ["overlap"] = string.Join(", ", CalibrationQuality.Ratios.Select((ratio, i) => Text($"{quality.Overlap(i):0.000} at {ratio}"))) + " (intersection over union with the repeat pass's plans)",
        };
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            provenance[Text($"r2 layer {layer}")] = string.Join(' ', Enumerable.Range(0, kvHeads[layer]).Select(head => Text($"{quality.R2(layer, head):0.000}")));
        }

        foreach ((string name, double bound, double threshold, double ratio) in Measured())
        {
            provenance[$"quality {name}"] = Text($"KL of the next token at most {bound} nats: threshold {threshold:0.00}, ratio {ratio:0.00} on the texts checked with");
        }

        for (int i = 0; i < CalibrationQuality.Thresholds.Length; i++)
        {
            provenance[Text($"threshold {CalibrationQuality.Thresholds[i]:0.00}")] = Text($"ratio {quality.Ratio(i):0.000}, KL {quality.Divergence(i):0.0000}");
        }

        return provenance;
    }

    private Dictionary<string, double> Thresholds() => Measured().ToDictionary(quality => quality.Name, quality => quality.Threshold);

    // Those whose bound some threshold kept; thresholds as a person reads them in the provenance.
    private IEnumerable<(string Name, double Bound, double Threshold, double Ratio)> Measured()
    {
        foreach ((string name, double bound) in Qualities)
        {
            if (_state.Quality.Within(bound) is var (threshold, ratio))
            {
                yield return (name, bound, Math.Round(threshold, 2), ratio);
            }
        }
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Hash(params ReadOnlySpan<string> parts) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\0', parts!))));
}
