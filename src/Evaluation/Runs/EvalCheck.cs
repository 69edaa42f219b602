using EdgeKV.Compression;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Evaluation;

/// <summary>What can be said of a run before it begins.</summary>
public static class EvalCheck
{
    /// <summary>Refuses what is known to fail before the first token is fed.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">What is compared.</param>
    /// <param name="samples">The samples.</param>
    /// <exception cref="DatasetException">A sample is a continuation of fewer than two tokens.</exception>
    /// <exception cref="ProfileException">A policy needs a profile, or a table about the model, that is not there.</exception>
    /// <exception cref="ContextWindowException">A policy's task tokens do not fit behind a sample.</exception>
    /// <exception cref="PlanException">A policy cannot plan for a sample: it is too short, or the budget leaves no row of it.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact, or be of that type.</exception>
    public static void EnsureRunnable(EdgeModel model, EvalOptions options, IReadOnlyList<EvalSample> samples)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(samples);
        model.KvMemory.EnsureHolds(options.CacheType);
        Budget[] budgets = [.. options.Budgets.Where(budget => !budget.IsFull).Select(budget => budget.ToBudget())];
        CompressOptions how = new() { Merge = options.Merge };
        foreach (EvalSample sample in samples)
        {
            if (sample.Metric == MetricNames.Perplexity)
            {
                _ = SampleTokens.Continuation(model, sample);
            }

            int tokens = SampleTokens.Context(model, options, sample).Length;
            foreach ((_, ICompressionPolicy policy) in budgets.Length > 0 ? PoliciesFor(model, options, sample) : [])
            {
                try
                {
                    model.EnsureCompressible(options.CacheType, policy.WithBudget(budgets[0]), tokens, model.Window, how);

                    // What a pass takes is the same for all of them.
                    foreach (Budget budget in budgets.AsSpan(1))
                    {
                        policy.WithBudget(budget).EnsurePlannable(model.Geometry.KvHeads, tokens);
                    }
                }
                catch (ContextWindowException e)
                {
                    throw new ContextWindowException($"{sample.Source}, policy {policy.Name}: {e.Message}", e.Length, e.Limit);
                }
                catch (PlanException e)
                {
                    throw new PlanException($"{sample.Source}, policy {policy.Name}: {e.Message.TrimEnd('.')}, or leave the sample out.", e);
                }
            }
        }
    }

    /// <summary>The policies of a run for a sample, each with its name and options as text.</summary>
    internal static IEnumerable<(string Name, ICompressionPolicy Policy)> PoliciesFor(EdgeModel model, EvalOptions options, EvalSample sample)
    {
        string[]? questions = sample.Question.Length > 0 ? [sample.Question] : null;
        ContextRoom room = new(model.TokenizeDocument(sample.Context).Length, model.Window, model.ProbeTokens);
        return options.Policies.Select(
            policy => (policy.ToString(), PolicyResolver.Resolve(EvalRun.SpecOf(policy, questions), () => options.Profile ?? model.Profile, room).Policy));
    }
}
