namespace EdgeKV.Policies.Scorers;

/// <summary>How the scores that the KV heads of a layer put on rank t become the score of the layer's composite row t.</summary>
public enum CompositeScore
{
    /// <summary>Their mean.</summary>
    Mean,

    /// <summary>Their largest.</summary>
    Max,
}
