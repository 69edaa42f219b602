using System.Globalization;
using System.Net;
using System.Text;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>The report as one HTML page: tables as text, charts by a script that the page holds.</summary>
internal sealed class ReportPage
{
    // Tables of so many rows stay whole in print.
    private const int OnePage = 40;

    /// <summary>What every report has near its beginning.</summary>
    public const string Mark = "<title>EdgeKV evaluation: ";

    private readonly StringBuilder _html = new();
    private readonly RunStatistics _run;

    private ReportPage(RunStatistics run) => _run = run;

    /// <summary>The page.</summary>
    /// <param name="run">The figures.</param>
    /// <param name="charts">The chart library's text.</param>
    /// <param name="tables">Names of the CSV files beside the page.</param>
    public static string Render(RunStatistics run, string charts, IReadOnlyList<string> tables)
    {
        ReportPage page = new(run);
        page.Head();
        page.Summary();
        page.Accuracy();
        page.Tasks();
        page.Comparisons();
        page.Perplexity();
        page.Needles();
        page.Layers();
        page.Memory();
        page.Speed();
        page.Provenance(tables);
        page.Scripts(charts);
        return page._html.ToString();
    }

    private void Head()
    {
        RunManifest manifest = _run.Manifest;
        string budgets = _run.Budgets.Count == 0 ? "the full cache only" : $"{(_run.Budgets[0].Ratio is null ? "" : "ratios ")}{string.Join(", ", _run.Budgets)}";
        Add($"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            {Mark}{Escape(manifest.Model)}</title>
            <style>
            {Resource("report.css")}</style>
            </head>
            <body>
            <header>
            <h1>What {Escape(manifest.Model)} still answers from a compressed KV cache</h1>
            <p class="facts">{_run.Samples} samples of {_run.Tasks.Count} tasks; {_run.Policies.Count} policies; {Escape(budgets)};
            compressed {(manifest.QueryAware ? "with" : "without")} the question;
            {manifest.Started.UtcDateTime:yyyy-MM-dd}, {Escape(manifest.Machine)}. <a href="#provenance">All of it</a></p>
            """);
        IReadOnlyList<string> notes = ReportTables.Notes(_run);
        if (notes.Count > 0)
        {
            Add($"<ul class=\"notes\" aria-label=\"Notes\">{string.Concat(notes.Select(note => $"<li>{Escape(note)}</li>"))}</ul>");
        }

        Add($"""
            <noscript><p class="notes">Charts need JavaScript. The tables hold all of their figures.</p></noscript>
            <nav aria-label="Sections"><ul>
            {string.Join('\n', Sections().Select(section => $"<li><a href=\"#{section.Id}\">{section.Title}</a></li>"))}
            </ul></nav>
            </header>
            <main>
            """);
    }

    private IEnumerable<(string Id, string Title)> Sections()
    {
        yield return ("policies", "Policies");
        yield return ("accuracy", "Accuracy");
        yield return ("tasks", "By task");
        if (_run.Comparisons.Count > 0)
        {
            yield return ("paired", "Compared");
        }

        if (HasPerplexity)
        {
            yield return ("perplexity", "Perplexity");
        }

        if (_run.Needles.Count > 0)
        {
            yield return ("needles", "Needles");
        }

        if (HasLayers)
        {
            yield return ("layers", "Layers");
        }

        yield return ("memory", "Memory");
        yield return ("speed", "Speed");
        yield return ("provenance", "Provenance");
    }

    private bool HasPerplexity => _run.Tasks.Any(task => task.IsPerplexity);

    private bool HasLayers => _run.Policies.Any(policy => policy.Budgets.Any(budget => budget?.LayerShares.Count > 0));

    private string Interval =>
        Text($"{_run.Bootstrap.Level * 100:0.#} % bootstrap intervals, {_run.Bootstrap.Resamples} draws of the samples within their tasks");

    private void Summary()
    {
        Section("policies", "Policies");
        string curve = _run.Curve is null
            ? "Rows were given, so there is no curve over ratios and no area under it."
            : $"""
                {Escape(_run.Curve.AucName)}: the area under accuracy relative to the full cache's, over the ratio; 1 = nothing is lost.
                r at −5&nbsp;%: maximum compression, the largest ratio up to which no more than 5&nbsp;% of the accuracy is lost.
                """;
        Add($"""
            <p>{curve}
            Score: seconds of a policy's own scores on top of the prefill. Peak positions: the most that the cache held at one time. In brackets: {Interval}.</p>
            """);
        Table(ReportTables.Policies(_run), _run.Curve is null ? "Policies" : "Policies, the largest area first");
        End();
    }

    private void Accuracy()
    {
        Section("accuracy", _run.Budgets.Any(budget => budget.Rows is not null) ? "Accuracy by rows" : "Accuracy by ratio");
        Figure(
            "accuracy",
            "policies",
            """
            Unweighted mean over tasks. Dotted: the full cache. The band: the interval of the default policy, else of the best one; of all that are
            shown where these are at most two. Press a policy to hide or show it.
            """);
        Table(ReportTables.Accuracy(_run), $"Accuracy, mean over tasks ({Interval})");
        End();
    }

    private void Tasks()
    {
        if (_run.Tasks.All(task => task.IsPerplexity))
        {
            return;
        }

        Section("tasks", "Accuracy by task");
        Figure("tasks", "policies", "Mean score of each task's samples. Dotted: the full cache.", isGrid: true);
        Details(ReportTables.Tasks(_run, perplexity: false), "Mean score by task");
        End();
    }

    private void Comparisons()
    {
        if (_run.Comparisons.Count == 0)
        {
            return;
        }

        Section("paired", $"Compared with {_run.Comparisons[0].Baseline}");
        Add($"""
            <p>On the same samples: difference of accuracy, the policy's less that of <code>{Escape(_run.Comparisons[0].Baseline)}</code> (in brackets {Interval}; * = leaves 0 out), then
            samples won/tied/lost. Below 0 the default is better.</p>
            """);
        Table(ReportTables.Comparisons(_run), $"Paired with {_run.Comparisons[0].Baseline}");
        End();
    }

    private void Perplexity()
    {
        if (!HasPerplexity)
        {
            return;
        }

        Section("perplexity", "Perplexity");
        Figure("perplexity", "policies", "Geometric mean over samples; the less the better. Dotted: the full cache.", isGrid: true);
        Details(ReportTables.Tasks(_run, perplexity: true), "Perplexity by task, geometric mean over samples");
        End();
    }

    private void Needles()
    {
        if (_run.Needles.Count == 0)
        {
            return;
        }

        Section("needles", "Needles by length and depth");
        Choice();
        Add("<div class=\"legend\"><span>score 0 <i class=\"ramp\" role=\"img\" aria-label=\"colours from 0 to 1\"></i> 1</span></div>");
        Figure(
            "needles",
            null,
            """
            Rows: length of the context. Columns: where the needle lies, in % of the context. At ratio or rows <span data-budget-name></span>,
            and from the full cache.
            """,
            isGrid: true);
        Details(
            new ReportTable(
                ["policy", "ratio or rows", "length", "depth", "score", "samples"],
                [
                    .. _run.Needles.SelectMany(map => map.Cells.Select(IReadOnlyList<string> (cell) =>
                        [map.Policy, map.Budget.ToString(), cell.Length, Text($"{cell.Depth:0.##}"), Text($"{cell.Score:0.00}"), Text($"{cell.Samples}")])),
                ]),
            "Scores by length and depth",
            inPrint: false);
        End();
    }

    private void Layers()
    {
        if (!HasLayers)
        {
            return;
        }

        Section("layers", "Rows per layer");
        Choice();
        Figure(
            "layers",
            null,
            "Share of its rows that each layer keeps, over its KV heads, mean over samples. At ratio or rows <span data-budget-name></span>.",
            isGrid: true);
        Details(
            new ReportTable(
                ["policy", "ratio or rows", .. Enumerable.Range(0, _run.Manifest.Layers).Select(layer => layer.ToString(CultureInfo.InvariantCulture))],
                [
                    .. ReportTables.Ordered(_run).SelectMany(policy => policy.Budgets.OfType<BudgetStatistics>().Where(budget => budget.LayerShares.Count > 0)
                        .Select(IReadOnlyList<string> (budget) => [policy.Policy, budget.Budget.ToString(), .. budget.LayerShares.Select(share => Text($"{share:0.00}"))])),
                ]),
            "Share of rows kept by layer",
            inPrint: false);
        End();
    }

    private void Memory()
    {
        Section("memory", "Memory");
        Figure("memory", "policies", "Bytes of the context's rows, mean over samples. Dotted: the full cache.");
        Details(ReportTables.Memory(_run), "MiB of the context's rows, mean over samples");
        End();
    }

    private void Speed()
    {
        Section("speed", "Speed");
        Figure("speed", "policies", "Tokens of all answers over the seconds of decoding them. Dotted: the full cache.");
        Details(ReportTables.Speed(_run), "Tokens per second, decoding");
        Figure("stages", "stages", "From a document to the first token, mean over samples and budgets.");
        Details(ReportTables.Stages(_run), "Seconds to the first token");
        End();
    }

    private void Provenance(IReadOnlyList<string> tables)
    {
        RunManifest manifest = _run.Manifest;
        Section("provenance", "Provenance");
        (string, string)[] facts =
        [
            ("command", manifest.Command),
            ("begun", Text($"{manifest.Started.UtcDateTime:yyyy-MM-dd HH:mm} UTC")),
            ("machine", manifest.Machine),
            ("EdgeKV", manifest.EdgeKV),
            ("llama.cpp", manifest.LlamaCpp),
            ("model", Text($"{manifest.Model}: {manifest.ModelDescription}, {manifest.Layers} layers, {manifest.KvHeads} KV heads")),
            ("model SHA-256", manifest.ModelSha256),
            ("profile SHA-256", manifest.ProfileSha256 ?? "no profile"),
            ("cache type", manifest.CacheType),
            ("threads", Text($"{manifest.Threads}")),
            ("data sets", string.Join(", ", manifest.Datasets)),
            ("policies", string.Join(", ", manifest.Policies)),
            manifest.Ratios.Count > 0
                ? ("ratios", string.Join(", ", manifest.Ratios.Select(ratio => Text($"{ratio:0.######}"))))
                : ("rows", string.Join(", ", manifest.Rows)),
            ("samples of a task, at most", Text($"{manifest.Samples}")),
            ("seed", Text($"{manifest.Seed}")),
            ("question", manifest.QueryAware ? "part of what was compressed" : "fed after compression"),
            ("values of removed rows", manifest.Merge ? "merged into kept ones" : "removed"),
            ("intervals", Text($"{Interval}, seed {_run.Bootstrap.Seed}")),
        ];
        Add($"""
            <div class="scroll" tabindex="0" role="region" aria-label="run.json"><table class="facts-table"><caption><span>run.json</span></caption><tbody>
            {string.Join('\n', facts.Select(fact => $"<tr><th scope=\"row\">{Escape(fact.Item1)}</th><td>{Escape(fact.Item2)}</td></tr>"))}
            </tbody></table></div>
            <p>The figures as CSV, beside this file:
            {string.Join(", ", tables.Select(name => $"<a href=\"{Escape(Uri.EscapeDataString(name))}\">{Escape(name)}</a>"))}.</p>
            """);
        End();
        Add("</main>");
    }

    private void Scripts(string charts) => Add($"""
        <script type="application/json" id="report-data">{ReportData.Of(_run).ToJson()}</script>
        <script>
        {Inline(charts)}</script>
        <script>
        {Inline(Resource("report.js"))}</script>
        </body>
        </html>
        """);

    // ----------------------------------------------------------------------------------------------------- parts

    private void Section(string id, string title) => Add($"<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{Escape(title)}</h2>");

    private void End() => Add("</section>");

    private void Figure(string chart, string? legend, string caption, bool isGrid = false) => Add($"""
        <figure>
        {(legend is null ? "" : $"<div class=\"legend\" data-legend=\"{legend}\"></div>")}
        <div class="{(isGrid ? "grid" : "plot")}" data-chart="{chart}"></div>
        <figcaption>{caption}</figcaption>
        </figure>
        """);

    private void Choice() => Add("<label class=\"choice\">At ratio or rows: <select data-choice=\"budget\"></select></label>");

    private void Details(ReportTable table, string caption, bool inPrint = true)
    {
        Add($"<details{(inPrint ? "" : " data-screen")}><summary>Table: {Escape(caption)}</summary>");
        Table(table, caption);
        Add("</details>");
    }

    private void Table(ReportTable table, string caption) => Add($"""
        <div class="scroll{(table.Rows.Count <= OnePage ? " short" : "")}" tabindex="0" role="region" aria-label="{Escape(caption)}"><table><caption><span>{Escape(caption)}</span></caption>
        <thead><tr>{string.Concat(table.Columns.Select(column => $"<th scope=\"col\"{Class(column)}>{Escape(column)}</th>"))}</tr></thead>
        <tbody>
        {string.Join('\n', table.Rows.Select(row => $"<tr><th scope=\"row\">{Breakable(row[0])}</th>{string.Concat(row.Zip(table.Columns, Cell).Skip(1))}</tr>"))}
        </tbody></table></div>
        """);

    private static string Class(string column) => IsName(column) ? " class=\"name\"" : "";

    private static string Cell(string text, string column) => $"<td{Class(column)}>{(IsName(column) ? Breakable(text) : Escape(text))}</td>";

    private static bool IsName(string column) => column == "policy";

    // A policy's options are one long word; it may go on in the next line where an option begins.
    private static string Breakable(string name) => Escape(name)
        .Replace(":", ":<wbr>", StringComparison.Ordinal)
        .Replace(",", ",<wbr>", StringComparison.Ordinal)
        .Replace("=", "=<wbr>", StringComparison.Ordinal);

    private void Add(string html) => _html.Append(html).Append('\n');

    private static string Escape(string text) => WebUtility.HtmlEncode(PlainText.Escaped(text, letter => letter is '\n' or '\t'));

    // Text of a script must not end its element.
    private static string Inline(string script) => script.Replace("</script", "<\\/script", StringComparison.OrdinalIgnoreCase);

    private static string Resource(string name)
    {
        using Stream stream = typeof(ReportPage).Assembly.GetManifestResourceStream(name)!;
        using StreamReader reader = new(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    private static string Text(FormattableString text) => FormattableString.Invariant(text);
}
