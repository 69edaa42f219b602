using System.Globalization;
using EdgeKV.Cli.Sizing;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>What <c>info</c> prints.</summary>
internal static class InfoTable
{
    public static void Write(IAnsiConsole console, ModelSizing sizing)
    {
        console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{sizing.Model.Description}: {sizing.Model.Layers} layers, {sizing.Model.Sharing}, window {sizing.Model.Window:N0} tokens, {ByteSize.Format(sizing.ModelBytes)}"));
        console.WriteLine();
        console.WriteLine($"Context tokens whose KV cache fits {ByteSize.Format(sizing.MemoryBytes)}, by the share of the cache removed");

        Table table = new Table().Border(TableBorder.Simple).AddColumn("cache type").AddColumn(new TableColumn("per token").RightAligned());
        foreach (double ratio in sizing.Ratios)
        {
            table.AddColumn(new TableColumn(ratio == 0 ? "full cache" : ratio.ToString("P0", CultureInfo.InvariantCulture)).RightAligned());
        }

        foreach (CacheTypeSizing type in sizing.CacheTypes)
        {
            table.AddRow([
                type.CacheType,
                ByteSize.Format(type.BytesPerToken),
                .. type.TokensThatFit.Select(tokens => tokens.ToString("N0", CultureInfo.InvariantCulture)),
            ]);
        }

        console.Write(table);
        if (sizing.OtherCacheTypes.Count > 0)
        {
            console.WriteLine($"This model cannot have a cache of {string.Join(" or ", sizing.OtherCacheTypes)}: its head size is no multiple of their blocks.");
        }

        console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"One context holds at most the model's window, {sizing.Model.Window:N0} tokens; the rest is room for more contexts."));
        console.WriteLine("Reading a document takes its full cache once, except with --while-reading; the table counts what stays afterwards.");
        console.WriteLine();
        foreach (string line in Profile(sizing))
        {
            // Past the console, which would break long paths.
            console.Profile.Out.Writer.WriteLine(line);
        }
    }

    private static IEnumerable<string> Profile(ModelSizing sizing)
    {
        if (sizing.Profile is not { } profile)
        {
            return [$"No profile: ask scores rows by a repeat pass. `edgekv calibrate {sizing.Model.Path}` makes one."];
        }

        return
        [
            $"Profile: {profile.Path}",

            // Keys of several words are details, by layer and by threshold: for --json, and for who opens the file.
            .. profile.Provenance.Where(fact => !fact.Key.Contains(' ', StringComparison.Ordinal)).Select(fact => $"  {fact.Key}: {fact.Value}".ReplaceLineEndings(" ")),
            .. profile.Thresholds.Select(threshold => string.Create(CultureInfo.InvariantCulture, $"  --quality {threshold.Key}: --threshold {threshold.Value:0.###}")),
        ];
    }
}
