namespace EdgeKV.Policies.Configuration;

/// <summary>An option of a policy that can be set by name.</summary>
/// <param name="Name">Its name in kebab case, as on the command line.</param>
/// <param name="Kind">What it takes: "number", "whole number", "true or false", the words that there are, "file", or "policy".</param>
/// <param name="Default">What it is when not given, as it would be written; null: none.</param>
public sealed record PolicyOption(string Name, string Kind, string? Default);
