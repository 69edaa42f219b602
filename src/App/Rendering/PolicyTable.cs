using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>What <c>policies</c> prints.</summary>
internal static class PolicyTable
{
    public static void Write(IAnsiConsole console, PolicyList policies)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string column in (string[])["policy", "rows", "extra pass", "profile", "query-aware", "arXiv"])
        {
            table.AddColumn(column);
        }

        foreach (PolicyFacts policy in policies.Policies)
        {
            table.AddRow(policy.Name, policy.Rows, policy.ExtraPass, policy.Profile, policy.QueryAware, policy.Paper ?? "");
        }

        console.Write(table);

        // Past the console, which would break long lines.
        TextWriter writer = console.Profile.Out.Writer;
        foreach (PolicyFacts policy in policies.Policies)
        {
            writer.WriteLine($"{policy.Name}: {policy.Summary}.");
            writer.WriteLine($"  {string.Join(", ", policy.Options.Select(option => option.Default is null ? option.Name : $"{option.Name}={option.Default}"))}");
        }

        writer.WriteLine();
        writer.WriteLine("Options are given as in --policy snapkv:window=32,kernel=7; what a policy wraps has its own behind a dot: ada:scorer=snapkv,scorer.window=32.");
        writer.WriteLine($"Without --policy: {policies.Default}. if: depends on its options or on what it is given.");
    }
}
