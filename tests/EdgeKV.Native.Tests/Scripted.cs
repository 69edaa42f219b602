using EdgeKV.Generation;
using LLama.Native;
using LLama.Sampling;

namespace EdgeKV.Native.Tests;

/// <summary>A pipeline that picks given tokens, then the likeliest, and throws when it is told to.</summary>
internal sealed class Scripted : ISamplingPipeline
{
    private int _sampled;

    public IReadOnlyList<int> Tokens { get; init; } = [];

    /// <summary>The sample that throws, 1-based; 0: the reset does; -1: none.</summary>
    public int ThrowsAt { get; init; } = -1;

    public LLamaToken Sample(SafeLLamaContextHandle ctx, int index)
    {
        _sampled++;
        return _sampled == ThrowsAt ? throw new InvalidTimeZoneException("no")
            : _sampled <= Tokens.Count ? Tokens[_sampled - 1]
            : Greedy.Pick(ctx.GetLogitsIth(index));
    }

    public void Apply(SafeLLamaContextHandle ctx, LLamaTokenDataArray data)
    {
    }

    public void Reset()
    {
        _sampled = 0;
        if (ThrowsAt == 0)
        {
            throw new InvalidTimeZoneException("no");
        }
    }

    public void Accept(LLamaToken token)
    {
    }

    public void Dispose()
    {
    }
}
