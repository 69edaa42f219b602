namespace EdgeKV.Evaluation;

/// <summary>The metrics' names, as results and data sets know them. All but perplexity are shares, 0 to 1, the more the better.</summary>
public static class MetricNames
{
    /// <summary>RULER's string match over all references: the share of them that is found.</summary>
    public const string MatchAll = "match-all";

    /// <summary>RULER's string match over any reference: 1 if one is found.</summary>
    public const string MatchAny = "match-any";

    /// <summary>SQuAD's exact match.</summary>
    public const string ExactMatch = "exact-match";

    /// <summary>SQuAD's and LongBench's F1 over words.</summary>
    public const string F1 = "f1";

    /// <summary>LongBench's ROUGE-L, F measure.</summary>
    public const string RougeL = "rouge-l";

    /// <summary>LongBench's classification score.</summary>
    public const string Classification = "classification";

    /// <summary>LongBench's retrieval score.</summary>
    public const string Retrieval = "retrieval";

    /// <summary>LongBench's counting score.</summary>
    public const string Count = "count";

    /// <summary>LongBench's edit similarity of code.</summary>
    public const string EditSimilarity = "edit-similarity";

    /// <summary>Perplexity of a given continuation: 1 and up, the less the better.</summary>
    public const string Perplexity = "perplexity";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<string> All { get; } =
        [MatchAll, MatchAny, ExactMatch, F1, RougeL, Classification, Retrieval, Count, EditSimilarity, Perplexity];
}
