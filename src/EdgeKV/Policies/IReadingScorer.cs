namespace EdgeKV.Policies;

/// <summary>
/// A scorer whose scores are there as soon as a row has been read: they depend on nothing that comes later, so rows can be dropped while the document is
/// still being read.
/// </summary>
/// <remarks>
/// <see cref="IRowScorer.Request"/> names only statistics that do not need the full cache (<see cref="Scoring.Statistic.NeedsFullCache"/>).
/// <see cref="IRowScorer.Score"/> is called with the statistics of one chunk of the document at a time, and must give each row the score that it would have if
/// the whole document were scored at once. <see cref="IRowScorer.Protect"/> is asked for the whole document.
/// </remarks>
public interface IReadingScorer : IRowScorer;
