namespace EdgeKV.Scoring;

/// <summary>What a policy needs to see before it can plan: a set of statistics. Compares by value, whatever their order.</summary>
public sealed record ScoreRequest
{
    private readonly Statistic[] _statistics;

    /// <summary>A request for some statistics.</summary>
    /// <param name="statistics">None or more; repeats count once.</param>
    /// <exception cref="ArgumentException">One of them is null.</exception>
    public ScoreRequest(params IEnumerable<Statistic> statistics)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        _statistics = [.. statistics.Distinct()];
        if (_statistics.Contains(null))
        {
            throw new ArgumentException("A request names its statistics; null is none.", nameof(statistics));
        }
    }

    /// <summary>Nothing: a policy that looks at positions alone.</summary>
    public static ScoreRequest None { get; } = new();

    /// <summary>The statistics, each once, in the order in which they were first named.</summary>
    public IReadOnlyList<Statistic> Statistics => _statistics;

    /// <summary>
    /// What such scores are called: the task set's name, "reconstruction" or "window" where attention is seen, "learned" for learned scores, "both" for learned
    /// scores and one kind of attention, "probed" where that is the probe's; else the norms; "none" where nothing is asked for. Several names are joined by "+".
    /// </summary>
    public string Name
    {
        get
        {
            string[] attention = [.. _statistics.Where(statistic => statistic.NeedsAttention).Select(statistic => statistic.Name).Distinct()];
            string[] learned = [.. _statistics.OfType<Learned>().Select(statistic => statistic.Name)];
            string[] names = [.. attention, .. learned];
            return (attention.Length, learned.Length) switch
            {
                (1, 1) => attention[0] == TaskSet.Probe.Name ? "probed" : "both",
                (0, 0) when _statistics.Length == 0 => "none",
                (0, 0) => string.Join('+', _statistics.Select(statistic => statistic.Name).Distinct()),
                _ => string.Join('+', names),
            };
        }
    }

    /// <summary>Whether any tokens have to be fed so that their attention can be seen.</summary>
    public bool NeedsAttention => _statistics.Any(statistic => statistic.NeedsAttention);

    /// <summary>Whether any tokens have to be fed; key and value norms come from the cache alone, learned scores from the prefill.</summary>
    public bool NeedsPass => _statistics.Any(statistic => statistic.NeedsPass);

    /// <summary>Whether the cache must still have all of its rows.</summary>
    public bool NeedsFullCache => _statistics.Any(statistic => statistic.NeedsFullCache);

    /// <summary>One request for all that several ask for, so that one scoring serves several policies.</summary>
    /// <param name="requests">None or more.</param>
    public static ScoreRequest Union(params IEnumerable<ScoreRequest> requests)
    {
        ArgumentNullException.ThrowIfNull(requests);
        return new ScoreRequest(requests.SelectMany(request => request.Statistics));
    }

    /// <inheritdoc/>
    public bool Equals(ScoreRequest? other) =>
        other is not null && _statistics.Length == other._statistics.Length && _statistics.All(other._statistics.Contains);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        int hash = _statistics.Length;
        foreach (Statistic statistic in _statistics)
        {
            // A sum: the order does not matter.
            hash = unchecked(hash + statistic.GetHashCode());
        }

        return hash;
    }

    /// <summary>For example "max(repeat), learned".</summary>
    public override string ToString() => _statistics.Length == 0 ? "nothing" : string.Join(", ", (IEnumerable<Statistic>)_statistics);
}
