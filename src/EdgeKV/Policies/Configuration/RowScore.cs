namespace EdgeKV.Policies.Configuration;

/// <summary>What the policy "global" ranks rows by, as its option "source" names it.</summary>
internal enum RowScore
{
    /// <summary>Attention predicted while the context was read: <see cref="Scorers.LearnedScorer"/>.</summary>
    Learned,

    /// <summary>Attention of a task set, the context repeated unless another is given: <see cref="Scorers.TaskScorer"/>.</summary>
    Repeat,

    /// <summary>The sum of both: <see cref="Scorers.SumScorer"/>.</summary>
    Both,

    /// <summary>Predicted attention, corrected by a general question: <see cref="Scorers.ProbedScorer"/>.</summary>
    Probed,
}
