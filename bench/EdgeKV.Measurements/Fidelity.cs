using System.Numerics.Tensors;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>Our engine and policy against the field's reference, for one prompt and one model file.</summary>
/// <param name="Prompt">The prompt's name.</param>
/// <param name="Structured">KVCompose structured, or not.</param>
/// <param name="Overlap">Intersection over union of the kept rows with the reference's, for each ratio.</param>
/// <param name="Kl">KL of the first token's distribution at ratio 0.8, the reference's first.</param>
/// <param name="SameTop">Whether the likeliest first token is the reference's.</param>
/// <param name="Answer">Our answer at ratio 0.8.</param>
/// <param name="SameAnswer">Whether it is the reference's.</param>
/// <param name="AnswerLead">
/// Forced along the reference's answer: the largest lead, in nats, that another token has over the reference's. 0 where every token is the likeliest.
/// </param>
public sealed record Fidelity(
    string Prompt,
    bool Structured,
    IReadOnlyDictionary<double, double> Overlap,
    double Kl,
    bool SameTop,
    string Answer,
    bool SameAnswer,
    double AnswerLead)
{
    /// <summary>
    /// A lead that does not make another answer, in nats: tokens of nearly equal probability, between which the last digits decide. Stock llama.cpp's own
    /// logits move by more between one thread and two (native-traps, 17).
    /// </summary>
    public const double NearTie = 0.1;

    private const double AnswerRatio = 0.8;
    private const int AnswerTokens = 48;

    /// <summary>Whether the answer is the reference's, but for near ties.</summary>
    public bool AnswerMatches => SameAnswer || AnswerLead <= NearTie;

    /// <summary>The ratios at which kept rows are compared.</summary>
    public static IReadOnlyList<double> Ratios { get; } = [0.5, 0.8, 0.9];

    /// <summary>How many of a prompt's plans the pure policy gives exactly from the reference's scores, and how many there are.</summary>
    public static (int Exact, int All) Plans(Golden golden) =>
        (golden.Plans.Count(p => p.IsKeptBy(golden.PlanFromScores(p.Policy))), golden.Plans.Count);

    /// <summary>Scores a prompt's context with our engine, plans, and answers from what is left: structured and unstructured.</summary>
    public static IReadOnlyList<Fidelity> Of(Golden golden, string model)
    {
        EngineOptions options = new(model) { ContextSize = (2 * golden.Context.Length + 511) / 256 * 256 };
        using EdgeModel loaded = options.Load();
        using EdgeSession scoring = loaded.CreateSession(options.Session);
        scoring.Kv!.Prefill(golden.Context);
        (float[] max, _, _) = scoring.Kv!.DecodeScored(golden.Context, golden.Context.Length);
        return [.. new[] { true, false }.Select(structured =>
        {
            Dictionary<double, double> overlap = [];
            foreach (double ratio in Ratios)
            {
                KVCompose policy = golden.Plan(structured, ratio).Policy;
                overlap[ratio] = golden.PlanFromScores(policy).Overlap(golden.PlanFromScores(policy, max));
            }

            Golden.GoldenPlan reference = golden.Plan(structured, AnswerRatio);
            using EdgeSession session = loaded.CreateSession(options.Session);
            KvContext answering = session.Kv!;
            answering.Prefill(golden.Context);
            answering.Apply(golden.PlanFromScores(reference.Policy, max));
            Logits logits = answering.DecodeAll(golden.Question, stepwise: false);
            string answer = Cut(loaded, [.. Greedy.Continue(answering, AnswerTokens)]);
            return new Fidelity(
                golden.Name,
                structured,
                overlap,
                reference.FirstToken!.DivergenceOf(logits[logits.Tokens - 1]),
                logits.Top(logits.Tokens - 1) == reference.FirstToken.Ids[0],
                answer,
                reference.IsAnswer(answer),
                Lead(answering, logits, reference.Answer, golden));
        })];
    }

    // After the question was answered: the same once more, along the reference's tokens.
    private static double Lead(KvContext context, Logits afterQuestion, string answer, Golden golden)
    {
        context.Rollback(golden.Context.Length + golden.Question.Length);
        int[] tokens = context.Model.Tokenize(answer);
        Logits forced = context.DecodeAll(tokens);
        double lead = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            ReadOnlySpan<float> logits = i == 0 ? afterQuestion[afterQuestion.Tokens - 1] : forced[i - 1];
            lead = Math.Max(lead, TensorPrimitives.Max(logits) - logits[tokens[i]]);
        }

        return lead;
    }

    // The reference's rule: at the first newline after 8 tokens, which stays.
    private static string Cut(EdgeModel model, int[] tokens)
    {
        const int Least = 8;
        for (int i = Least; i < tokens.Length; i++)
        {
            if (model.Detokenize(tokens.AsSpan(i, 1)).Contains('\n', StringComparison.Ordinal))
            {
                return model.Detokenize(tokens.AsSpan(0, i + 1));
            }
        }

        return model.Detokenize(tokens);
    }
}
