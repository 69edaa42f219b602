namespace EdgeKV.Policies.Configuration;

/// <summary>Whether a policy has some property.</summary>
public enum PolicyTrait
{
    /// <summary>Never.</summary>
    No,

    /// <summary>It depends on its options or on what it is given: query-aware if the question is among the tokens whose attention it sees.</summary>
    If,

    /// <summary>Always.</summary>
    Yes,

    /// <summary>As what it wraps.</summary>
    AsScorer,
}

/// <summary>How a policy's rows lie.</summary>
public enum PolicyRows
{
    /// <summary>The KV heads of a layer keep equally many rows, each its own.</summary>
    Equal,

    /// <summary>The KV heads of a layer keep the same positions.</summary>
    SamePositions,

    /// <summary>KV heads of a layer keep different numbers of rows.</summary>
    Ragged,

    /// <summary>As the policy that gives the counts.</summary>
    AsCounts,
}
