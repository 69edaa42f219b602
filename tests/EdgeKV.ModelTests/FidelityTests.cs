using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.ModelTests;

/// <summary>Our scores, plans and answers against the field's Python reference.</summary>
public sealed class FidelityTests
{
    private static readonly Dictionary<(string Prompt, string Model), IReadOnlyList<Fidelity>> Results = [];

    public static TheoryData<string> Prompts => Golden.All.Count > 0 ? [.. Golden.All.Select(g => g.Name)] : ["none"];

    [Theory]
    [MemberData(nameof(Prompts))]
    public void Policy_ReferencesScores_GivesTheReferencesPlans(string prompt)
    {
        (int exact, int all) = Fidelity.Plans(Find(prompt));
        Assert.Equal(all, exact);
    }

    [Theory]
    [MemberData(nameof(Prompts))]
    public void Engine_BundledModel_IsCloseToTheReference(string prompt) => Check(prompt, Places.Model, overlap: 0.95, kl: 0.05);

    [Theory]
    [MemberData(nameof(Prompts))]
    public void Engine_F16Copy_IsCloserToTheReference(string prompt) => Check(prompt, F16Model.Path, overlap: 0.98, kl: 0.02);

    private static void Check(string prompt, string model, double overlap, double kl)
    {
        Golden golden = Find(prompt);
        if (!Results.TryGetValue((prompt, model), out IReadOnlyList<Fidelity>? results))
        {
            Results[(prompt, model)] = results = Fidelity.Of(golden, model);
        }

        foreach (Fidelity result in results)
        {
            Assert.All(result.Overlap.Values, o => Assert.InRange(o, overlap, 1));
            Assert.True(result.SameTop, "Another token comes first.");
            Assert.InRange(result.Kl, 0, kl);
            Assert.True(
                result.AnswerMatches,
                $"'{result.Answer}' is not the reference's answer, and another token leads by {result.AnswerLead:0.00} nats along that one.");
        }
    }

    private static Golden Find(string prompt)
    {
        Assert.SkipWhen(Golden.All.Count == 0, Golden.Missing);
        return Golden.All.Single(g => g.Name == prompt);
    }
}
