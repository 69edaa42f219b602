namespace EdgeKV.Scoring;

/// <summary>The numbers of one <see cref="Statistic"/>.</summary>
/// <param name="Buffer">[layers, heads or KV heads, tokens]; disposed with the scores that hold it.</param>
/// <param name="Queries">Queries whose attention was aggregated, 0 and up: what turns a sum into a mean. 0 where there is nothing to aggregate.</param>
public sealed record StatisticValues(ScoreBuffer Buffer, long Queries = 0);
