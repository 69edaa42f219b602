namespace EdgeKV.Policies.Configuration;

/// <summary>What a name and its options make.</summary>
/// <param name="Policy">The policy.</param>
/// <param name="Scorer">What it scores rows by, for policies that wrap it; null: it scores no rows.</param>
internal sealed record BoundPolicy(ICompressionPolicy Policy, IRowScorer? Scorer);
