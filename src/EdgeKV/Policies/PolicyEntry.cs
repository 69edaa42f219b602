using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>A policy that can be asked for by name.</summary>
/// <param name="Name">Its name, lower case.</param>
/// <param name="Summary">What it does, in one line.</param>
/// <param name="Create">Makes it with a budget and a task set; null = the policy's own task set.</param>
public sealed record PolicyEntry(string Name, string Summary, Func<Budget, TaskSet?, ICompressionPolicy> Create);
