using System.Globalization;
using System.Text;

namespace EdgeKV.Cli.Rendering;

/// <summary>Draws rows per layer as upright bars, one column a layer, and below them a line of small bars per KV head when heads differ.</summary>
internal static class RowChart
{
    private const int BarLines = 6;
    private const string Eighths = " ▁▂▃▄▅▆▇█";

    /// <summary>The chart's lines, without colours and without trailing blanks.</summary>
    /// <param name="rows">Kept rows, [layer][KV head].</param>
    /// <param name="contextTokens">The rows that a head had before: the top of the scale.</param>
    /// <param name="width">Columns that a line may take.</param>
    public static IReadOnlyList<string> Draw(IReadOnlyList<IReadOnlyList<int>> rows, int contextTokens, int width)
    {
        if (rows.Count == 0 || contextTokens <= 0)
        {
            return [];
        }

        int labelWidth = Math.Max(contextTokens.ToString(CultureInfo.InvariantCulture).Length, HeadLabel(rows[0].Count - 1).Length);
        int perLayer = Math.Clamp((width - labelWidth - 2) / rows.Count, 1, 3);
        double[] means = [.. rows.Select(heads => heads.Average())];

        List<string> lines = [];
        for (int line = BarLines; line >= 1; line--)
        {
            string label = line == BarLines ? Number(contextTokens) : line == BarLines / 2 ? Number(contextTokens / 2) : "";
            lines.Add(Line(label, '│', means.Select(mean => Cell(mean / contextTokens * BarLines - (line - 1), perLayer))));
        }

        lines.Add(string.Concat(new string(' ', labelWidth), " └", new string('─', perLayer * rows.Count)));
        lines.Add(Axis(rows.Count, perLayer, labelWidth));
        if (rows.Any(heads => heads.Distinct().Skip(1).Any()))
        {
            for (int head = 0; head < rows[0].Count; head++)
            {
                int h = head;
                lines.Add(Line(HeadLabel(h), ' ', rows.Select(heads => Cell((double)heads[h] / contextTokens, perLayer))));
            }
        }

        return lines;

        string Line(string label, char edge, IEnumerable<string> cells) =>
            string.Concat(label.PadLeft(labelWidth), " ", edge.ToString(), string.Concat(cells)).TrimEnd();
    }

    // One character cell filled to the given share, as wide as a layer's column with a gap where there is room for one.
    private static string Cell(double share, int perLayer)
    {
        // A layer that keeps a row at all must not look like one that keeps none.
        int eighths = share <= 0 ? 0 : Math.Clamp((int)Math.Round(share * 8), 1, 8);
        return perLayer switch
        {
            1 => Eighths[eighths].ToString(),
            2 => string.Concat(Eighths[eighths].ToString(), " "),
            _ => string.Concat(new string(Eighths[eighths], perLayer - 1), " "),
        };
    }

    private static string Axis(int layers, int perLayer, int labelWidth)
    {
        StringBuilder axis = new("layer".PadLeft(labelWidth) + "  ");
        for (int layer = 0; layer < layers; layer += 5)
        {
            axis.Append(Number(layer).PadRight(perLayer * Math.Min(5, layers - layer)));
        }

        return axis.ToString().TrimEnd();
    }

    private static string HeadLabel(int head) => string.Create(CultureInfo.InvariantCulture, $"head {head}");

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
