using System.Globalization;
using System.Text;
using System.Text.Json;

namespace EdgeKV.Figures;

/// <summary>Draws the rows that each layer kept, as the JSON of a run of <c>edgekv ask</c> has them, into an SVG for pages light and dark.</summary>
internal static class RowsPicture
{
    private const double Width = 760;
    private const double Height = 300;
    private const double Left = 58;
    private const double Right = 12;
    private const double Top = 46;
    private const double Bottom = 44;

    /// <summary>Reads the JSON of a run and writes its picture.</summary>
    public static void Write(string jsonPath, string svgPath)
    {
        using JsonDocument run = JsonDocument.Parse(File.ReadAllBytes(jsonPath));
        File.WriteAllText(svgPath, Draw(run.RootElement));
    }

    /// <summary>The picture as SVG text.</summary>
    /// <param name="run">The object that <c>edgekv ask --json</c> writes.</param>
    public static string Draw(JsonElement run)
    {
        int[][] rows = [.. run.GetProperty("rows").EnumerateArray().Select(layer => layer.EnumerateArray().Select(head => head.GetInt32()).ToArray())];
        int tokens = run.GetProperty("document").GetProperty("contextTokens").GetInt32();
        double removed = run.GetProperty("ratio").GetDouble();
        double slot = (Width - Left - Right) / rows.Length;
        double plot = Height - Top - Bottom;

        StringBuilder svg = new();
        Line(svg, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\">");
        Line(svg, $"<title>Rows of the KV cache that each layer kept, {removed:P1} removed</title>");
        svg.Append(
            """
            <style>
            .text { fill: #57606a } .strong { fill: #24292f; font-weight: 600 } .grid { stroke: #8c959f; stroke-opacity: .35 }
            .gone { fill: #8c959f; fill-opacity: .18 } .kept { fill: #0f8b8d }
            @media (prefers-color-scheme: dark) { .text { fill: #9198a1 } .strong { fill: #f0f6fc } .kept { fill: #2bb3b1 } }
            </style>

            """);
        Line(svg, $"<text class=\"strong\" x=\"{Left}\" y=\"18\" font-size=\"15\">What EdgeKV keeps of a {tokens:N0}-token document: {1 - removed:P1} of the KV cache</text>");
        foreach (int mark in new[] { 0, tokens / 2, tokens })
        {
            double y = Top + plot * (1 - (double)mark / tokens);
            Line(svg, $"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{y:0.##}\" y2=\"{y:0.##}\"/>");
            Line(svg, $"<text class=\"text\" x=\"{Left - 8}\" y=\"{y + 4:0.##}\" text-anchor=\"end\">{mark:N0}</text>");
        }

        for (int layer = 0; layer < rows.Length; layer++)
        {
            DrawLayer(svg, rows[layer], tokens, Left + layer * slot, slot, plot);
            if (layer % 5 == 0 || layer == rows.Length - 1)
            {
                Line(svg, $"<text class=\"text\" x=\"{Left + (layer + 0.5) * slot:0.##}\" y=\"{Height - Bottom + 18:0.##}\" text-anchor=\"middle\">{layer}</text>");
            }
        }

        Line(svg, $"<text class=\"text\" x=\"{Left + (Width - Left - Right) / 2:0.##}\" y=\"{Height - 8}\" text-anchor=\"middle\">layer, its KV heads side by side; height: rows kept (teal) of rows read (grey)</text>");
        Line(svg, $"</svg>");
        return svg.ToString();
    }

    // Heads stand side by side within their layer's slot; where they are equal they look like one bar.
    private static void DrawLayer(StringBuilder svg, int[] heads, int tokens, double x, double slot, double plot)
    {
        double gap = Math.Min(3, slot * 0.2);
        double width = (slot - gap) / heads.Length;
        bool composite = heads.All(rows => rows == heads[0]);
        Line(svg, $"<rect class=\"gone\" x=\"{x + gap / 2:0.##}\" y=\"{Top}\" width=\"{slot - gap:0.##}\" height=\"{plot:0.##}\"/>");
        for (int head = 0; head < (composite ? 1 : heads.Length); head++)
        {
            double height = plot * heads[head] / tokens;
            Line(svg, $"<rect class=\"kept\" x=\"{x + gap / 2 + head * width:0.##}\" y=\"{Top + plot - height:0.##}\" width=\"{(composite ? slot - gap : width):0.##}\" height=\"{height:0.##}\"/>");
        }
    }

    private static void Line(StringBuilder text, FormattableString line) =>
        text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
