using EdgeKV.Profiles;

namespace EdgeKV.Engine;

/// <summary>How EdgeKV attaches to a context.</summary>
public sealed record AttachOptions
{
    /// <summary>What scores are predicted by as tokens are decoded; null (default): the profile that lies with the model's file, if there is one.</summary>
    public ScoreProfile? Profile { get; init; }

    /// <summary>
    /// Whether every token is scored as it is decoded, where there is a profile, so that policies of learned scores need no pass. Default: true.
    /// </summary>
    public bool LearnedScores { get; init; } = true;

    /// <summary>
    /// Whether calls wait while another thread uses the context, an executor that decodes for example. Default: true. False: they throw a
    /// <see cref="ContextBusyException"/>.
    /// </summary>
    public bool WaitForContext { get; init; } = true;

    /// <summary>What computes the attention of single tokens over a compact cache in host memory.</summary>
    public AttentionKernel Attention { get; init; }
}
