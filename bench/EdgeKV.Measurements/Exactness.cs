using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Native.Loading;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>Our engine against stock llama.cpp: identity, eviction, composition.</summary>
public static class Exactness
{
    private const int Block = 256;

    /// <summary>
    /// A plan that keeps every row, llama.cpp's kernels, one thread, kept rows and room a multiple of 256: whether 128 decoded tokens have the bits of stock's
    /// logits. Stock is a libllama without EdgeKV on the same ggml libraries, since each build of ggml sums in its own order: that of LLamaSharp's package, or
    /// llama.cpp's where EDGEKV_GGML names its plug-ins.
    /// </summary>
    public static bool IdentityBitEqual(ExactnessCase subject)
    {
        EngineOptions options = subject.Options(KvCacheType.F16, threads: 1);
        using StockRunner stock = PluginFolder.Configured is null ? StockRunner.OfLLamaSharp() : new StockRunner();
        stock.Open(options).Prefill(subject.ContextTokens);
        Logits expected = stock.Decode(subject.After(ExactnessCase.IdentityTokens));
        using EdgeModel model = options.Load();
        using EdgeSession session = model.CreateSession((options with { Attention = AttentionKernel.LlamaCpp }).Session);
        KvContext context = session.Kv!;
        context.Prefill(subject.ContextTokens);
        int room = (subject.Context + ExactnessCase.IdentityTokens + Block - 1) / Block * Block - subject.Context;
        context.Apply(CompressionPlan.KeepAll(model.Geometry.KvHeads, subject.Context), room);
        return context.DecodeAll(subject.After(ExactnessCase.IdentityTokens)).BitEquals(expected);
    }

    /// <summary>Everything but bit-equality, two threads.</summary>
    public static ExactnessResult Measure(ExactnessCase subject, KvCacheType type, int seed = 1)
    {
        EngineOptions options = subject.Options(type);
        HeadLayout kvHeads = KvHeads(options);
        CompressionPlan half = Plans.Uniform(kvHeads, subject.Context, 0.5, seed);
        CompressionPlan composite = Plans.Composite(kvHeads, subject.Context, seed + 1);
        CompressionPlan ragged = Plans.Ragged(kvHeads, subject.Context, seed + 2);
        ReadOnlySpan<int> decoded = subject.After(subject.Decoded);
        ReadOnlySpan<int> prompt = subject.After(subject.Prompt);

        Logits oneThread = Stock(options with { Threads = 1 }, runner =>
        {
            runner.Prefill(subject.ContextTokens);
            return runner.Decode(subject.After(subject.Decoded));
        });
        Reference stock = Reference.Of(options, subject, half, composite, ragged);

        using EdgeModel model = options.Load();

        Logits Ours(CompressionPlan plan, ReadOnlySpan<int> tokens, bool stepwise = true)
        {
            using EdgeSession session = model.CreateSession(options.Session);
            KvContext context = session.Kv!;
            context.Prefill(subject.ContextTokens);
            context.Apply(plan);
            return context.DecodeAll(tokens, stepwise);
        }

        Logits evicted = Ours(half, decoded);
        return new ExactnessResult(subject.Name, type)
        {
            Floor = Divergence.Of(oneThread, stock.Full),
            Identity = Divergence.Of(stock.Full, Ours(CompressionPlan.KeepAll(kvHeads, subject.Context), decoded)),
            Eviction = Divergence.Of(stock.Evicted, evicted),
            EvictionInHoles = Divergence.Of(stock.EvictedInHoles, evicted),
            OrderFloor = Divergence.Of(stock.EvictedInHoles, stock.Evicted),
            Composite = Divergence.Of(stock.Composite, Ours(composite, decoded)),
            Ragged = Divergence.Of(stock.Ragged, Ours(ragged, decoded)),
            Prompt = Divergence.Of(stock.CompositePrompt, Ours(composite, prompt, stepwise: false))
                .Worse(Divergence.Of(stock.RaggedPrompt, Ours(ragged, prompt, stepwise: false))),
            Sensitivity = new[]
            {
                Divergence.Of(stock.Evicted, Ours(Plans.Shifted(half), decoded)).Max,
                Divergence.Of(stock.Composite, Ours(Plans.Shifted(composite), decoded)).Max,
                Divergence.Of(stock.Ragged, Ours(Plans.Shifted(ragged), decoded)).Max,
            }.Min(),
        };
    }

    /// <summary>KV heads of each layer of a model.</summary>
    public static HeadLayout KvHeads(EngineOptions options)
    {
        using EdgeModel model = options.Load();
        return model.Geometry.KvHeads;
    }

    private static T Stock<T>(EngineOptions options, Func<StockRunner, T> work)
    {
        using StockRunner stock = new();
        return work(stock.Open(options));
    }

    private sealed record Reference(
        Logits Full,
        Logits Evicted,
        Logits EvictedInHoles,
        Logits Composite,
        Logits Ragged,
        Logits CompositePrompt,
        Logits RaggedPrompt)
    {
        public static Reference Of(
            EngineOptions options,
            ExactnessCase subject,
            CompressionPlan half,
            CompressionPlan composite,
            CompressionPlan ragged) => Stock(options with { Hook = true }, stock =>
        {
            stock.Prefill(subject.ContextTokens);
            Logits Run(CompressionPlan? plan, int count, bool stepwise = true)
            {
                if (plan is null)
                {
                    stock.Unmask();
                }
                else
                {
                    stock.Mask(StockMask.Flash, plan);
                }

                Logits logits = stock.Decode(subject.After(count), stepwise);
                stock.Rollback(subject.Context);
                return logits;
            }

            Logits full = Run(null, subject.Decoded);
            Logits masked = Run(composite, subject.Decoded);
            Logits uneven = Run(ragged, subject.Decoded);
            Logits maskedPrompt = Run(composite, subject.Prompt, stepwise: false);
            Logits unevenPrompt = Run(ragged, subject.Prompt, stepwise: false);

            // Last, because what is removed does not come back.
            HashSet<int> kept = [.. half.Positions(0, 0)];
            stock.Remove([.. Enumerable.Range(0, subject.Context).Where(p => !kept.Contains(p))]);
            Logits inHoles = Run(null, subject.Decoded);
            stock.Pack();
            return new Reference(full, Run(null, subject.Decoded), inHoles, masked, uneven, maskedPrompt, unevenPrompt);
        });
    }
}
