using EdgeKV.Engine;

namespace EdgeKV.Generation;

/// <summary>The context that an answer is generated in, for as long as it is.</summary>
/// <param name="context">The context.</param>
/// <param name="end">Called when the answer has ended; null: nothing is.</param>
internal sealed class AnswerScope(KvContext context, Action? end = null) : IDisposable
{
    public KvContext Context => context;

    public void Dispose() => end?.Invoke();
}
