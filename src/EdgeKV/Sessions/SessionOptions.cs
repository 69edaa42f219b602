using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Profiles;

namespace EdgeKV.Sessions;

/// <summary>How a session keeps its cache.</summary>
public sealed record SessionOptions
{
    /// <summary>
    /// Positions that the full cache can hold at one time: the document, the questions, the answers, and while the context is scored the
    /// task tokens on top of it. 0 (default): twice the document and 2048 more, made when the document is fed, never more than the model's window.
    /// A compact cache is not bound by it: it grows up to the model's window.
    /// </summary>
    public int ContextSize { get; init; }

    /// <summary>Element type of keys and values; F16 by default.</summary>
    public KvCacheType CacheType { get; init; } = KvCacheType.F16;

    /// <summary>Tokens fed at one time, 1 and up; 512 by default.</summary>
    public int BatchSize { get; init; } = KvContext.DefaultBatchSize;

    /// <summary>The most threads: as many as the process has processors. More would spin in each other's way, and might never end.</summary>
    public static int MostThreads => Environment.ProcessorCount;

    /// <summary>Threads, at most <see cref="MostThreads"/>; 0 (default) = physical cores.</summary>
    public int Threads { get; init; }

    /// <summary>Whether the cache lies with the layers on their devices (default) or in host memory.</summary>
    public bool OffloadKv { get; init; } = true;

    /// <summary>
    /// Whether every token is scored as it is read, where there is a profile, so that policies of learned scores need no pass. Default: true.
    /// False costs nothing, whatever <see cref="Profile"/> says.
    /// </summary>
    public bool LearnedScores { get; init; } = true;

    /// <summary>What scores are predicted by; null (default): the model's own, <c>EdgeModel.Profile</c>.</summary>
    public ScoreProfile? Profile { get; init; }

    /// <summary>
    /// The system prompt of the conversation; null (default): the one that the model's chat template writes by itself, if any.
    /// </summary>
    public string? SystemPrompt { get; init; }

    /// <summary>
    /// How the chat template writes the conversation: tools, a JSON schema of the answers, thinking. Null (default): no tools, any text, thinking where the template knows it.
    /// Answers keep to the grammar of the schema and of calls that are required, unless <c>GenerationOptions.Sampling</c> is given.
    /// </summary>
    public ChatTemplateOptions? Chat { get; init; }

    /// <summary>What computes the attention of single tokens over a compact cache in host memory.</summary>
    public AttentionKernel Attention { get; init; }
}
