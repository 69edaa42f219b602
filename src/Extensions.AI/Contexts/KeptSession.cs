using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>A context that is kept for the conversation it holds.</summary>
internal sealed class KeptSession(EdgeSession session) : IDisposable
{
    /// <summary>The session.</summary>
    public EdgeSession Session => session;

    /// <summary>The messages that it was last asked, as hashes; their answer follows in the context.</summary>
    public IReadOnlyList<string> Keys { get; set; } = [];

    /// <summary>How many of its first tokens end with the last document; 0 where nothing was compressed.</summary>
    public int DocumentEnd { get; private set; }

    /// <summary>What compressing did; null where nothing was compressed.</summary>
    public CompressionReport? Report { get; private set; }

    /// <summary>Reads the documents of a prompt into the empty context, and compresses them.</summary>
    /// <param name="tokens">The prompt up to the end of its last document.</param>
    /// <param name="budget">How much may stay.</param>
    /// <param name="cancellation">Stops the work.</param>
    public async Task ReadAsync(ReadOnlyMemory<int> tokens, Budget budget, CancellationToken cancellation)
    {
        await session.PrefillAsync(tokens, cancellationToken: cancellation).ConfigureAwait(false);
        Report = await session.CompressAsync(budget, cancellationToken: cancellation).ConfigureAwait(false);
        DocumentEnd = tokens.Length;
    }

    /// <summary>Compresses the turns behind the documents too, where they have come to many tokens and have learned scores: others would take the rows that are gone.</summary>
    /// <param name="budget">How much may stay, of documents and turns together.</param>
    /// <param name="turnTokens">How many tokens are many.</param>
    /// <param name="cancellation">Stops the work; the context is then as before.</param>
    public async Task CompressTurnsAsync(Budget budget, int turnTokens, CancellationToken cancellation)
    {
        CacheState cache = session.Cache;
        if (!cache.IsCompact || !cache.HasLearnedScores || cache.Position - cache.ContextTokens < turnTokens)
        {
            return;
        }

        try
        {
            Report = await session.CompressAsync(budget, cancellationToken: cancellation).ConfigureAwait(false);
        }
        catch (EdgeKVException)
        {
            // The cache is as it was. The conversation goes on with its turns whole.
        }
    }

    /// <summary>How many of a prompt's first tokens the context holds and can go on from; 0: it is of no use to the prompt.</summary>
    public int Shared(Prompt prompt)
    {
        CacheState cache = session.Cache;
        int shared = Math.Min(cache.Tokens.Span.CommonPrefixLength(prompt.Tokens), prompt.Tokens.Length - 1);
        bool goesOn = Keys.Count > 0 && Keys.Count < prompt.Keys.Count && prompt.Keys.Take(Keys.Count).SequenceEqual(Keys);
        if (!cache.IsCompact)
        {
            return goesOn && prompt.DocumentEnds.Count == 0 ? shared : 0;
        }

        // A document of the prompt that is not compressed in here takes reading everything anew, as the rows of both are ranked together.
        bool isRead = prompt.DocumentEnds is [.., var end] && end == DocumentEnd && shared >= cache.ContextTokens;
        return !isRead ? 0 : goesOn ? shared : cache.ContextTokens;
    }

    public void Dispose() => session.Dispose();
}
