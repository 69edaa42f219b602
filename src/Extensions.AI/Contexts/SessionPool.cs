using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>The contexts in memory, never more than a number of them. One request at a time uses it.</summary>
/// <param name="model">The model.</param>
/// <param name="options">How contexts are made; a ContextSize of 0 makes each as large as its conversation needs.</param>
/// <param name="budget">What is left of documents; null: nothing is compressed.</param>
/// <param name="turnTokens">Tokens of turns behind a document that are compressed too; null: none are.</param>
/// <param name="most">Contexts at one time, 1 and up.</param>
internal sealed class SessionPool(EdgeModel model, SessionOptions options, Budget? budget, int? turnTokens, int most) : IDisposable
{
    // Room beside twice the prompt and its answer, for the turns that follow.
    private const int SpareTokens = 2048;

    // The least recently used comes first.
    private readonly List<KeptSession> _kept = [];

    /// <summary>The caches of the contexts in memory, the least recently used first.</summary>
    public IReadOnlyList<CacheState> Caches => [.. _kept.Select(kept => kept.Session.Cache)];

    /// <summary>The context that holds most of a prompt, else a fresh one with the prompt's documents read and compressed.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="maxTokens">The most tokens of the answer.</param>
    /// <param name="cancellation">Stops reading and compressing.</param>
    /// <returns>The context, the prompt's tokens that it holds, and how many of those were there before.</returns>
    public async Task<(KeptSession Session, int Fed, int Cached)> OpenAsync(Prompt prompt, int maxTokens, CancellationToken cancellation)
    {
        (KeptSession? best, int shared) = Best(prompt, maxTokens);
        if (best is null)
        {
            KeptSession fresh = await ReadAsync(prompt, maxTokens, cancellation).ConfigureAwait(false);
            return (fresh, fresh.Session.Position, 0);
        }

        best.Session.Rollback(shared);
        _kept.Remove(best);
        _kept.Add(best);
        if (budget is not null && turnTokens is { } many)
        {
            await best.CompressTurnsAsync(budget, many, cancellation).ConfigureAwait(false);
        }

        return (best, shared, shared);
    }

    /// <summary>Frees a context whose work failed, or that holds nothing.</summary>
    public void Drop(KeptSession session)
    {
        _kept.Remove(session);
        session.Dispose();
    }

    /// <summary>Frees a context whose answer was stopped, unless something is left in it to go on from.</summary>
    public void Stop(KeptSession session)
    {
        if (session.Session.Position == 0)
        {
            Drop(session);
        }
    }

    public void Dispose()
    {
        foreach (KeptSession session in _kept)
        {
            session.Dispose();
        }

        _kept.Clear();
    }

    private (KeptSession? Session, int Shared) Best(Prompt prompt, int maxTokens)
    {
        (KeptSession? Session, int Shared) best = default;
        foreach (KeptSession kept in _kept)
        {
            int shared = kept.Shared(prompt);
            if (shared > best.Shared && (Holds(kept, prompt, maxTokens) || kept.Session.Limit >= SizeFor(prompt, maxTokens)))
            {
                best = (kept, shared);
            }
        }

        return best;
    }

    private static bool Holds(KeptSession kept, Prompt prompt, int maxTokens) => (long)prompt.Tokens.Length + maxTokens <= kept.Session.Limit;

    private async Task<KeptSession> ReadAsync(Prompt prompt, int maxTokens, CancellationToken cancellation)
    {
        // Those that go make room first: both together may not fit.
        while (_kept.Count >= most)
        {
            Drop(_kept[0]);
        }

        KeptSession fresh = new(model.CreateSession(options with { ContextSize = SizeFor(prompt, maxTokens) }));
        _kept.Add(fresh);
        if (prompt.DocumentEnds is not [.., var end] || budget is null)
        {
            return fresh;
        }

        try
        {
            await fresh.ReadAsync(prompt.Tokens.AsMemory(0, end), budget, cancellation).ConfigureAwait(false);
            return fresh;
        }
        catch
        {
            Drop(fresh);
            throw;
        }
    }

    private int SizeFor(Prompt prompt, int maxTokens) => options.ContextSize > 0
        ? options.ContextSize
        : (int)Math.Min(2L * prompt.Tokens.Length + maxTokens + SpareTokens, model.Window);
}
