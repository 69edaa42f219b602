using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace EdgeKV.Figures;

/// <summary>The figures under way: one flat object for programs, a table for people with what each figure must keep to.</summary>
internal sealed class Table
{
    private const string Heading = "## ";
    private const string Broken = "**FAIL**";

    private readonly JsonObject _figures = [];
    private readonly List<(string Key, string Value, string Bound, string Verdict, string Note)> _rows = [];
    private readonly List<(string Title, string[] Header, List<string[]> Rows)> _details = [];

    /// <summary>Figures that broke their bound.</summary>
    public int Failed => _rows.Count(r => r.Verdict == Broken);

    /// <summary>A figure that must be true.</summary>
    public void Add(string key, bool value, string note = "") => Add(key, value, value ? "true" : "false", "true", value, note);

    /// <summary>A number without a bound of its own.</summary>
    public void Add(string key, double value, string note = "") => Add(key, value, Text(value), "", null, note);

    /// <summary>A number that must not be above a bound.</summary>
    public void AtMost(string key, double value, double bound, string note = "") =>
        Add(key, value, Text(value), $"<= {Text(bound)}", value <= bound, note);

    /// <summary>A number whose measurements each had a bound of their own.</summary>
    public void Judged(string key, double value, string bound, bool passed, string note = "") => Add(key, value, Text(value), bound, passed, note);

    /// <summary>A number that must not be below a bound.</summary>
    public void AtLeast(string key, double value, double bound, string note = "") =>
        Add(key, value, Text(value), $">= {Text(bound)}", value >= bound, note);

    /// <summary>A figure that could not be measured here.</summary>
    public void Missing(string reason, params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            _figures[key] = null;
            Put((key, "not measured", "", "", reason));
        }
    }

    /// <summary>A table of its own behind the figures.</summary>
    public void Detail(string title, string[] header, IEnumerable<string[]> rows)
    {
        _details.RemoveAll(d => d.Title == title);
        _details.Add((title, header, [.. rows]));
    }

    /// <summary>Takes over figures that were written before: those that are measured anew replace them, the others stay.</summary>
    /// <param name="json">figures.json.</param>
    /// <param name="page">figures.md.</param>
    public void Keep(string json, IEnumerable<string> page)
    {
        foreach (var (key, value) in JsonNode.Parse(json)!.AsObject())
        {
            _figures[key] = value?.DeepClone();
        }

        string? title = null;
        foreach (string line in page)
        {
            if (line.StartsWith(Heading, StringComparison.Ordinal))
            {
                title = line[Heading.Length..];
                continue;
            }

            if (line is not ['|', ' ', .. var inside, ' ', '|'])
            {
                continue;
            }

            string[] cells = inside.Split(" | ");
            if (title is null && cells is [['`', .. var key, '`'], var value, var bound, var verdict, var note])
            {
                _rows.Add((key, value, bound, verdict, note));
            }
            else if (title is not null && _details.FindIndex(d => d.Title == title) is >= 0 and var at)
            {
                _details[at].Rows.Add(cells);
            }
            else if (title is not null)
            {
                _details.Add((title, cells, []));
            }
        }
    }

    /// <summary>The flat object.</summary>
    public string ToJson() => _figures.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n";

    /// <summary>The page for people.</summary>
    public string ToMarkdown(string machine)
    {
        StringBuilder page = new();
        page.Append(CultureInfo.InvariantCulture, $"""
            # Figures

            Measured by `./build.sh figures` on {machine}; a part by itself with `dotnet run --project bench/EdgeKV.Figures -c Release docs/experiments PART`
            (memory, speed, fidelity, exactness, soundness, learned-speed, learned-1k, learned-2k, policies, device). The same numbers for programs: [figures.json](figures.json).

            KL is the divergence of next-token distributions in nats, the largest over the tokens compared, all runs forced along the same tokens.
            The floor is stock llama.cpp against itself, one thread against two; where a bound is 1e-3 and three times the floor is more, three times
            the floor counts. Speeds are ratios within one run, medians over interleaved rounds, against stock llama.cpp with the full cache.


            """);
        Append(page, ["figure", "value", "bound", "", "note"], _rows.Select(r => new[] { $"`{r.Key}`", r.Value, r.Bound, r.Verdict, r.Note }));
        foreach (var (title, header, rows) in _details)
        {
            page.Append(CultureInfo.InvariantCulture, $"\n{Heading}{title}\n\n");
            Append(page, header, rows);
        }

        return page.ToString();
    }

    /// <summary>Four significant digits; powers of ten where they are shorter.</summary>
    public static string Text(double value) => Math.Abs(value) is 0 or (>= 1e-3 and < 1e9)
        ? value.ToString(value == Math.Truncate(value) ? "0" : "0.####", CultureInfo.InvariantCulture)
        : value.ToString("0.0e+0", CultureInfo.InvariantCulture);

    private static void Append(StringBuilder page, string[] header, IEnumerable<string[]> rows)
    {
        page.Append("| ").AppendJoin(" | ", header).Append(" |\n|").Insert(page.Length, "---|", header.Length).Append('\n');
        foreach (string[] row in rows)
        {
            page.Append("| ").AppendJoin(" | ", row).Append(" |\n");
        }
    }

    private void Add(string key, JsonNode value, string text, string bound, bool? passed, string note)
    {
        _figures[key] = value;
        string verdict = passed switch { true => "pass", false => Broken, null => "" };
        Put((key, text, bound, verdict, note));
        Console.WriteLine($"{key,-36} {text,12}  {bound,-22} {verdict} {note}");
    }

    private void Put((string Key, string Value, string Bound, string Verdict, string Note) row)
    {
        int before = _rows.FindIndex(r => r.Key == row.Key);
        if (before >= 0)
        {
            _rows[before] = row;
        }
        else
        {
            _rows.Add(row);
        }
    }
}
