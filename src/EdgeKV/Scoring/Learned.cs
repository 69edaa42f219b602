using EdgeKV.Models;
using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Scoring;

/// <summary>
/// Predicted natural logarithms of the attention that a repeat pass would give (<see cref="RepeatTaskSet"/>), [layers, kvHeads, tokens], made by
/// the prefill itself: no pass. Any finite value, most below 0; comparable between all layers, KV heads and contexts of one model.
/// </summary>
public sealed record Learned : Statistic
{
    /// <inheritdoc/>
    public override string Name => "learned";

    internal override StatisticReader Reader => LearnedReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsFullCache => false;
}

/// <summary>Reads learned scores, which the native library recorded as tokens were decoded. Rows that a compact cache has no more score below all others.</summary>
internal sealed class LearnedReader : StatisticReader
{
    public static LearnedReader Instance { get; } = new();

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.Cache;

    /// <inheritdoc/>
    public override long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        if (!context.HasScoreMap)
        {
            throw new SessionStateException(
                "There are no learned scores: the context has no profile. Make one of the model with `edgekv calibrate`, or take another score.");
        }

        NativeScoreBuffer buffer = Read(context.Handle, context.Model, 0, context.Position);
        context.MarkMissingRows(buffer);
        values.Add(group[0], buffer);
        return 0;
    }

    /// <summary>Scores of some positions, [layers, kvHeads, count].</summary>
    /// <exception cref="SessionStateException">Some of them are not known.</exception>
    public static unsafe NativeScoreBuffer Read(SafeLLamaContextHandle context, EdgeModel model, int first, int count)
    {
        long length = (long)model.Geometry.KvHeads.Total * count;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(length, out float* data);
        try
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_learned_scores(context, first, count, data, (nuint)length), nameof(NativeMethods.edgekv_learned_scores));
            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }
}
