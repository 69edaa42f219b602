using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Measurements.Subjects;

/// <summary>
/// What the field's Python reference computed for one prompt on the bundled model in float32: folder <c>goldens</c> of <c>shared</c>, beside
/// the checkout.
/// </summary>
public sealed class Golden
{
    private readonly string _folder;
    private readonly Lazy<float[]> _taskMax;
    private readonly Lazy<float[]?> _learned;

    private Golden(string folder)
    {
        _folder = folder;
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json")));
        JsonElement root = document.RootElement;
        Layers = root.GetProperty("n_layer").GetInt32();
        Heads = root.GetProperty("n_head").GetInt32();
        KvHeads = root.GetProperty("n_head_kv").GetInt32();
        Context = Tokens(root.GetProperty("context_tokens"));
        Question = Tokens(root.GetProperty("question_tokens"));
        FullCache = NextToken.Of(root.GetProperty("full_cache_first_token"));
        Plans = [.. root.GetProperty("plans").EnumerateObject().Select(p => GoldenPlan.Of(p.Name, p.Value))];
        _taskMax = new Lazy<float[]>(() => Floats("task_max.f32") ?? throw new FileNotFoundException($"{_folder} has no task_max.f32."));
        _learned = new Lazy<float[]?>(() => Floats("learned.f32"));
    }

    /// <summary>All prompts, or none when the folder is not there.</summary>
    public static IReadOnlyList<Golden> All { get; } = Places.Shared is { } shared
        ? [.. Directory.GetFiles(Path.Combine(shared, "goldens"), "golden.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(f => new Golden(Path.GetDirectoryName(f)!))]
        : [];

    /// <summary>Why tests that need goldens are skipped.</summary>
    public static string Missing => "The folder `shared` with the reference's goldens is not beside this checkout.";

    /// <summary>The prompt's name.</summary>
    public string Name => Path.GetFileName(_folder);

    public int Layers { get; }

    public int Heads { get; }

    public int KvHeads { get; }

    /// <summary>The context's tokens.</summary>
    public int[] Context { get; }

    /// <summary>The tokens of the question and of the answer's prefix.</summary>
    public int[] Question { get; }

    /// <summary>The reference's distribution after the question, full cache.</summary>
    public NextToken FullCache { get; }

    /// <summary>The plans of KVCompose, structured and not, at several ratios.</summary>
    public IReadOnlyList<GoldenPlan> Plans { get; }

    /// <summary>The largest attention weight over the context fed again, [layers, heads, context].</summary>
    public float[] TaskMax => _taskMax.Value;

    /// <summary>
    /// What the reference's map predicts for every context token on stock llama.cpp without flash attention, before any protection,
    /// [layers, KV heads, context]; null for a prompt without.
    /// </summary>
    public float[]? Learned => _learned.Value;

    /// <summary>The scores of one of the reference's presses, [layers, KV heads, context]; null for a prompt without.</summary>
    /// <param name="name">As the file has it, for example "kvzip".</param>
    public float[]? Press(string name) => Floats($"press_{name}.f32");

    /// <summary>The plan from <see cref="Learned"/> with the first 4 positions protected.</summary>
    /// <param name="ratio">0.8 or 0.9.</param>
    public CompressionPlan LearnedPlan(double ratio) => KeepBits.ToPlan(
        File.ReadAllBytes(Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"kept_{ratio}_learned.bits"))),
        HeadLayout.Uniform(Layers, KvHeads),
        Context.Length);

    /// <summary>What a policy of ours plans from the scores of the reference's press of that name; null for a prompt without.</summary>
    /// <param name="policy">Its name and budget are taken.</param>
    public CompressionPlan? PressPlan(ScoredPolicy policy)
    {
        float[]? values = Floats($"press_{policy.Name.Replace('-', '_')}.f32");
        using var nothing = new AttentionScores(CacheGeometry.Uniform(Layers, Heads, KvHeads, 1, 1), Context.Length, []);
        return values is null ? null : new GivenScores(values) { Budget = policy.Budget }.Plan(nothing);
    }

    /// <summary>The plan of one policy at one ratio.</summary>
    public GoldenPlan Plan(bool structured, double ratio) =>
        Plans.Single(p => p.Policy.Structured == structured && !p.Policy.FirstLayerLargest && p.Policy.Ratio == ratio);

    /// <summary>What a policy plans from the reference's scores.</summary>
    public CompressionPlan PlanFromScores(KVCompose policy) => PlanFromScores(policy, TaskMax);

    /// <summary>What a policy plans from other scores of the same shape.</summary>
    public CompressionPlan PlanFromScores(KVCompose policy, float[] max)
    {
        var seen = new StatisticValues(ScoreBuffer.FromMemory(max), Context.Length);
        using var scores = new AttentionScores(CacheGeometry.Uniform(Layers, Heads, KvHeads, 1, 1), Context.Length, [new(new TaskAttention(TaskSet.Context, AttentionAggregate.Max), seen)]);
        return policy.Plan(scores);
    }

    private float[]? Floats(string file)
    {
        string path = Path.Combine(_folder, file);
        return File.Exists(path) ? MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(path)).ToArray() : null;
    }

    private static int[] Tokens(JsonElement array) => [.. array.EnumerateArray().Select(t => t.GetInt32())];

    /// <summary>The most likely next tokens.</summary>
    /// <param name="Ids">Token ids, the likeliest first.</param>
    /// <param name="LogProbabilities">Their natural logarithms of probability.</param>
    public sealed record NextToken(int[] Ids, double[] LogProbabilities)
    {
        internal static NextToken Of(JsonElement json) => new(
            Tokens(json.GetProperty("token_ids")), [.. json.GetProperty("logprobs").EnumerateArray().Select(p => p.GetDouble())]);

        /// <summary>
        /// KL(this || logits) over the listed tokens, all the others together as one more: the reference keeps no more of its distribution.
        /// </summary>
        public double DivergenceOf(ReadOnlySpan<float> logits)
        {
            double max = double.NegativeInfinity;
            foreach (float x in logits)
            {
                max = Math.Max(max, x);
            }

            double sum = 0;
            foreach (float x in logits)
            {
                sum += Math.Exp(x - max);
            }

            double normalizer = max + Math.Log(sum);
            double kl = 0;
            double restHere = 1;
            double restThere = 1;
            for (int i = 0; i < Ids.Length; i++)
            {
                double p = Math.Exp(LogProbabilities[i]);
                double q = logits[Ids[i]] - normalizer;
                kl += p * (LogProbabilities[i] - q);
                restHere -= p;
                restThere -= Math.Exp(q);
            }

            if (restHere > 0)
            {
                kl += restHere * Math.Log(restHere / Math.Max(restThere, 1e-12));
            }

            return double.IsNaN(kl) ? double.PositiveInfinity : kl;
        }
    }

    /// <summary>A plan of the reference and what the model said with it.</summary>
    /// <param name="Policy">The policy, with its ratio.</param>
    /// <param name="KeptSha256">SHA-256 of the keep mask's bytes, as <see cref="KeepBits"/> packs them.</param>
    /// <param name="Answer">The greedy answer, cut at the first newline after 8 tokens.</param>
    /// <param name="FirstToken">The next tokens after the question, or null when the reference kept none.</param>
    public sealed record GoldenPlan(KVCompose Policy, string KeptSha256, string Answer, NextToken? FirstToken)
    {
        internal static GoldenPlan Of(string name, JsonElement json)
        {
            string[] parts = name.Split('@');
            return new GoldenPlan(
                new KVCompose
                {
                    Ratio = double.Parse(parts[1], CultureInfo.InvariantCulture),
                    Structured = parts[0] != "unstructured",
                    FirstLayerLargest = parts[0] == "structured_first_layer_largest",
                },
                json.GetProperty("kept_sha256").GetString()!,
                json.GetProperty("answer").GetString()!,
                json.TryGetProperty("first_token", out JsonElement first) ? NextToken.Of(first) : null);
        }

        /// <summary>Whether a plan keeps exactly these rows.</summary>
        public bool IsKeptBy(CompressionPlan plan) => Convert.ToHexStringLower(SHA256.HashData(KeepBits.Of(plan))) == KeptSha256;

        /// <summary>
        /// Whether an answer of ours is this one. The reference stopped at an end of turn, at a newline, or at a limit that it does not
        /// name: an answer that ends nowhere may go on in ours.
        /// </summary>
        public bool IsAnswer(string answer) =>
            answer.TrimEnd() == Answer.TrimEnd()
            || (Answer.Length > 60 && !Answer.EndsWith('\n') && answer.StartsWith(Answer, StringComparison.Ordinal));
    }
}
