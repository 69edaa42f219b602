using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Sessions;

namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>A context that is kept for the conversation it holds.</summary>
internal sealed class KeptSession(EdgeSession session) : IDisposable
{
    /// <summary>The session.</summary>
    public EdgeSession Session => session;

    /// <summary>The messages that it was last asked, as hashes; their answer follows in the context.</summary>
    public IReadOnlyList<string> Keys { get; set; } = [];

    /// <summary>What compressing its document did; null where nothing was compressed.</summary>
    public CompressionReport? Report { get; set; }

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
        bool isRead = prompt.DocumentEnds is [.., var end] && end == cache.ContextTokens && shared >= end;
        return !isRead ? 0 : goesOn ? shared : cache.ContextTokens;
    }

    public void Dispose() => session.Dispose();
}
