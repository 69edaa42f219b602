using EdgeKV.Models;
using EdgeKV.Numerics;

namespace EdgeKV.Scoring;

/// <summary>
/// Sees what is asked for of a context: every statistic is read by its reader, statistics that one pass can give together in one pass. What is worked out
/// from cached rows comes last.
/// </summary>
internal static class ScorePass
{
    /// <summary>Reads the statistics of a request.</summary>
    /// <param name="context">The context; it is left as it was.</param>
    /// <param name="request">The statistics.</param>
    /// <param name="part">Who is told how far the reading is, and what stops it.</param>
    public static AttentionScores Run(IScoreContext context, ScoreRequest request, in WorkPart part)
    {
        Statistic[] made = [.. request.Statistics.Where(statistic => statistic.IsMadeOfRows)];
        ScoreRequest seen = new(request.Statistics.Except(made).Concat(made.SelectMany(statistic => statistic.MadeOf)));
        AttentionScores scores = Read(context, seen, part);
        try
        {
            foreach (Statistic statistic in made)
            {
                scores.Add(statistic, new StatisticValues(ReadRows(context, statistic, scores, part.Cancellation)));
            }

            scores.Keep(request);
            scores.ThrowIfNone();
            return scores;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    private static AttentionScores Read(IScoreContext context, ScoreRequest request, in WorkPart part)
    {
        using ScoreValues values = new();
        long fed = 0;
        TokenMasks? masks = null;
        if (request.Statistics.Any(statistic => statistic is TokenClasses))
        {
            masks = context.Model.MasksOf(context.Tokens(0, context.Position));
        }

        // Grouped in the order of the request, then by stage.
        (StatisticReader Reader, Statistic[] Group)[] groups =
        [
            .. request.Statistics.Where(statistic => statistic is not TokenClasses)
                .GroupBy(statistic => ReaderOf(statistic).GroupOf(statistic, request))
                .Select(group => (group.Select(ReaderOf).MinBy(reader => reader.Stage)!, group.ToArray()))
                .OrderBy(group => group.Item1.Stage),
        ];
        int passes = groups.Count(group => group.Reader.Stage != ReadingStage.Cache);
        int pass = 0;
        foreach ((StatisticReader reader, Statistic[] group) in groups)
        {
            WorkPart own = reader.Stage == ReadingStage.Cache
                ? WorkPart.Silent
                : part.Slice((double)pass++ / passes, (double)pass / passes);
            fed += reader.Read(group, context, values, own);
        }

        AttentionScores scores = new(context.Model.Geometry, context.Position, values.Release())
        {
            PassTokens = fed,
            PrefixTokens = context.PrefixLength(),
            TokenMasks = masks,
        };
        return scores;
    }

    private static StatisticReader ReaderOf(Statistic statistic) =>
        statistic.Reader ?? throw new ArgumentException($"The statistic {statistic} has no reader.", nameof(statistic));

    /// <summary>A statistic that is made of cached rows, [layers, heads or KV heads, context].</summary>
    private static unsafe NativeScoreBuffer ReadRows(
        IScoreContext context, Statistic statistic, AttentionScores seen, CancellationToken cancellation)
    {
        ILayerStatistic layers = statistic.OfRows(new CacheRows(context.Model, context.Handle, context.Position), seen);
        HeadLayout heads = context.Model.Geometry.Rows(statistic.IsPerAttentionHead);
        long tokens = context.Position;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(heads.Total * tokens, out float* data);
        try
        {
            nint target = (nint)data;
            LayerLoop.ForEach(heads.Layers, layer =>
            {
                cancellation.ThrowIfCancellationRequested();
                layers.Write(layer, new Span<float>((float*)target + heads.First(layer) * tokens, checked((int)(heads[layer] * tokens))));
            });
            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }
}
