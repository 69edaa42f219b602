using EdgeKV.Policies.Configuration;

namespace EdgeKV.Cli.Rendering;

/// <summary>All that <c>policies</c> tells.</summary>
/// <param name="Default">The policy taken where none is named.</param>
internal sealed record PolicyList(string Default, IReadOnlyList<PolicyFacts> Policies)
{
    public static PolicyList All() => new(PolicyRegistry.Default, [.. PolicyRegistry.Entries.Select(PolicyFacts.Of)]);
}

/// <param name="Paper">arXiv id; null: ours, or a baseline.</param>
/// <param name="Rows">"equal", "same positions", "ragged" or "as counts".</param>
/// <param name="ExtraPass">"no", "if", "yes" or "as scorer", as the next two.</param>
internal sealed record PolicyFacts(
    string Name,
    string Summary,
    string? Paper,
    string Rows,
    string ExtraPass,
    string Profile,
    string QueryAware,
    bool ScoresRows,
    IReadOnlyList<PolicyOption> Options)
{
    public static PolicyFacts Of(PolicyEntry entry) => new(
        entry.Name,
        entry.Summary,
        entry.Paper,
        entry.Rows switch
        {
            PolicyRows.SamePositions => "same positions",
            PolicyRows.AsCounts => "as counts",
            _ => entry.Rows.ToString().ToLowerInvariant(),
        },
        Word(entry.ExtraPass),
        Word(entry.Profile),
        Word(entry.QueryAware),
        entry.ScoresRows,
        entry.Options);

    private static string Word(PolicyTrait trait) => trait == PolicyTrait.AsScorer ? "as scorer" : trait.ToString().ToLowerInvariant();
}
