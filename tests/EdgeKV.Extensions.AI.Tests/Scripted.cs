using EdgeKV.Generation;
using LLama.Native;
using LLama.Sampling;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>A pipeline that picks given tokens, then the likeliest, and calls the test before each pick.</summary>
/// <param name="tokens">The tokens.</param>
/// <param name="before">Gets the number of the pick, 1-based, on the engine's thread.</param>
internal sealed class Scripted(int[] tokens, Action<int>? before = null) : ISamplingPipeline
{
    /// <summary>Tokens picked so far.</summary>
    public int Picked { get; private set; }

    public LLamaToken Sample(SafeLLamaContextHandle ctx, int index)
    {
        before?.Invoke(Picked + 1);
        return ++Picked <= tokens.Length ? tokens[Picked - 1] : Greedy.Pick(ctx.GetLogitsIth(index));
    }

    public void Apply(SafeLLamaContextHandle ctx, LLamaTokenDataArray data)
    {
    }

    public void Reset() => Picked = 0;

    public void Accept(LLamaToken token)
    {
    }

    public void Dispose()
    {
    }
}
