using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Configuration;

namespace EdgeKV.Cli.Asking;

/// <summary>What the user asked for, checked as far as it can be without a model.</summary>
/// <param name="Model">Null: find one.</param>
/// <param name="Document">A path, or <c>-</c> for standard input.</param>
/// <param name="Profile">A profile's file; null: the model's own, where it has one.</param>
/// <param name="Budget">Null: a threshold decides, or the policy's own options, which are a ratio of 0.8 for most.</param>
/// <param name="Policy">The policy and its options by name.</param>
/// <param name="Score">One of <see cref="ScoreNames"/>; null: probed or learned scores where there is a profile, else the repeat pass.</param>
/// <param name="TaskSet"><c>context</c>, <c>repeat</c>, <c>question</c>, <c>window</c>, or a file of task texts; null: the policy's own.</param>
/// <param name="Threshold">The least score that stays, a natural logarithm of attention; null: the budget alone decides.</param>
/// <param name="Quality">The name that the profile gives to a threshold; null: none.</param>
/// <param name="Recent">Last tokens that stay in all heads; null: the policy's own.</param>
/// <param name="ContextSize">Cells of the full cache; 0: what this run needs.</param>
/// <param name="Threads">0: one for each physical core.</param>
/// <param name="WhileReading">Drop rows while the document is read, so that the full cache is never there.</param>
/// <param name="Rerotate">Close the kept rows' positions up; while reading, the document may then be longer than the model's window.</param>
/// <param name="Merge">Take the values of dropped rows into kept ones.</param>
/// <param name="Loading">How the model is loaded, and the devices its layers are put on; its context size is found with the document.</param>
internal sealed record AskRequest(
    string? Model,
    string? Profile,
    string Document,
    IReadOnlyList<string> Questions,
    Budget? Budget,
    PolicyOptions Policy,
    string? Score,
    string? TaskSet,
    double? Threshold,
    string? Quality,
    int? Recent,
    KvCacheType CacheType,
    int ContextSize,
    int Threads,
    ModelOptions Loading,
    SamplingRequest Sampling,
    int MaxTokens,
    bool Compare,
    bool WhileReading,
    bool Rerotate,
    bool Merge,
    bool Json);

/// <param name="Temperature">0: greedy, and the rest is not used.</param>
internal sealed record SamplingRequest(float Temperature, int TopK, float TopP, float MinP, uint Seed);
