namespace EdgeKV.Policies.Scorers;

/// <summary>What a row of the cache is worth to <see cref="GlobalTopK"/>.</summary>
public enum RowScore
{
    /// <summary>The logarithm of attention that was predicted while the context was read: no pass over it.</summary>
    Learned,

    /// <summary>The largest attention that a task token gave, mean over the KV head's attention heads: a pass, by default the repeat pass.</summary>
    Repeat,

    /// <summary>The logarithm of <see cref="Repeat"/> plus <see cref="Learned"/>: what was seen times what was predicted.</summary>
    Both,

    /// <summary>
    /// <see cref="Learned"/>, corrected by the attention that a general question gives this context: some forty tokens, however long it is.
    /// Needs a table of the model (<see cref="GlobalTopK.Correction"/>).
    /// </summary>
    Probed,
}
