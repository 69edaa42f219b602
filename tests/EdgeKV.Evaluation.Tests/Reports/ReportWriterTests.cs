using System.Text.Json;
using System.Text.RegularExpressions;

namespace EdgeKV.Evaluation.Tests.Reports;

public sealed partial class ReportWriterTests : IDisposable
{
    private readonly ReportFolder _run = new();

    public void Dispose() => _run.Dispose();

    [Fact]
    public void Write_SmallRun_LoadsNothing()
    {
        string html = File.ReadAllText(_run.Write().Path);

        Assert.StartsWith("<!doctype html>", html, StringComparison.Ordinal);
        Assert.DoesNotMatch(Loading(), html);
        Assert.Equal(3, Regex.Count(html, "<script"));
        Assert.Equal(3, Regex.Count(html, "</script>"));
    }

    [Fact]
    public void Write_NamesThatAreHtml_AreEscaped()
    {
        string html = File.ReadAllText(_run.Write().Path);

        Assert.DoesNotContain("alert(1)</script>", html, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("<b>bold", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<i>b</i>", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<needle>", html, StringComparison.Ordinal);
        Assert.Contains("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;.gguf", html, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("=HYPERLINK(1)", "'=HYPERLINK(1)")]
    [InlineData("+1", "'+1")]
    [InlineData("-1", "'-1")]
    [InlineData("@SUM(A1)", "'@SUM(A1)")]
    [InlineData("\u001b[2Jname", "\\u001b[2Jname")]
    [InlineData("\tname\r", "\\u0009name\\u000d")]
    [InlineData(" =1+1", "' =1+1")]
    [InlineData("\u00a0@SUM(A1)", "'\u00a0@SUM(A1)")]
    [InlineData("a\u202eb", "a\\u202eb")]
    [InlineData("a\U000E0001b", "a\\udb40\\udc01b")]
    [InlineData("a\U0001F511b", "a\U0001F511b")]
    [InlineData("a-b", "a-b")]
    public void Write_NamesThatASpreadsheetOrATerminalObeys_AreTextInEveryTable(string task, string shown)
    {
        string results = File.ReadAllText(_run.Results);
        Assert.Contains("\"task\":\"single\"", results, StringComparison.Ordinal);
        File.WriteAllText(_run.Results, results.Replace("\"task\":\"single\"", $"\"task\":{JsonSerializer.Serialize(task)}", StringComparison.Ordinal));

        WrittenReport report = _run.Write();

        string tasks = File.ReadAllText(report.Tables.Single(table => table.EndsWith("-tasks.csv", StringComparison.Ordinal)));
        Assert.Contains($",{shown},", tasks, StringComparison.Ordinal);
        Assert.All(report.Tables.Append(report.Path), file => Assert.DoesNotContain('\e', File.ReadAllText(file)));
        Assert.All(report.Tables, file => Assert.DoesNotContain(File.ReadAllText(file).Split("\r\n").SelectMany(line => line.Split(',')), IsFormula));

        static bool IsFormula(string cell) => cell is ['=' or '+' or '-' or '@', ..] && !double.TryParse(cell, System.Globalization.CultureInfo.InvariantCulture, out _);
    }

    [Fact]
    public void Write_NoResultYet_NamesTheFolder()
    {
        File.WriteAllText(_run.Results, "");

        ReportException e = Assert.Throws<ReportException>(() => _run.Write());

        Assert.Equal($"{_run.Path}: The run has no results yet; report it when a sample is done.", e.Message);
    }

    [Fact]
    public void Write_SmallRun_HasEveryTaskPolicyAndNote()
    {
        string html = File.ReadAllText(_run.Write().Path);

        Assert.Contains("needles &lt;needle&gt; &amp; &quot;thread&quot;", html, StringComparison.Ordinal);
        Assert.Contains(">questions single<", html, StringComparison.Ordinal);
        Assert.Contains(">books<", html, StringComparison.Ordinal);
        Assert.Contains("ada:<wbr>scorer=<wbr>snapkv,<wbr>alpha=<wbr>0.2", html, StringComparison.Ordinal);
        Assert.Contains("never answers: never never answered.", html, StringComparison.Ordinal);
        Assert.Contains("ada:scorer=snapkv,alpha=0.2: 1 cell failed", html, StringComparison.Ordinal);
        Assert.Contains("has not the whole grid", html, StringComparison.Ordinal);
        Assert.Contains("Compared with global", html, StringComparison.Ordinal);
        Assert.Contains("2026-11-25 03:00 UTC", html, StringComparison.Ordinal);
        Assert.Contains("Permission to use, copy, modify", html, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_SmallRun_HasItsFiguresForTheScript()
    {
        string html = File.ReadAllText(_run.Write().Path);

        using var data = JsonDocument.Parse(Data().Match(html).Groups[1].Value);
        JsonElement global = data.RootElement.GetProperty("policies")[0];
        Assert.Equal("global", global.GetProperty("name").GetString());

        // Needle 0.8, never 0, single (1 + 0.8)/2: a third of 1.7.
        Assert.Equal(0.5667, global.GetProperty("accuracy")[0][0].GetDouble(), 4);
        Assert.Equal([0.5, 0.8], data.RootElement.GetProperty("budgets").EnumerateArray().Select(budget => budget.GetDouble()));
        Assert.Equal(5, data.RootElement.GetProperty("needles").GetArrayLength());
    }

    [Fact]
    public void Write_SmallRun_HasTablesAsCsvBesideIt()
    {
        WrittenReport report = _run.Write(Path.Combine(_run.Path, "figures.html"));

        Assert.Equal(
            ["figures-accuracy.csv", "figures-layers.csv", "figures-needles.csv", "figures-paired.csv", "figures-policies.csv", "figures-tasks.csv"],
            report.Tables.Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal));
        string[] tasks = File.ReadAllLines(report.Tables.Single(file => file.EndsWith("-tasks.csv", StringComparison.Ordinal)));
        Assert.Equal("dataset,task,metric,policy,ratio,rows,score,score_low,score_high", tasks[0]);
        Assert.Contains("needles,\"<needle> & \"\"thread\"\"\",match-all,full,0,,1,1,1", tasks);
        Assert.Contains(tasks, line => line.StartsWith("questions,single,f1,\"ada:scorer=snapkv,alpha=0.2\",0.8,,1,", StringComparison.Ordinal));
        Assert.Equal(1 + (5 * 4), tasks.Length);
        Assert.Empty(Directory.GetFiles(_run.Path, "*.new"));
    }

    [Fact]
    public void Write_Again_IsTheSame()
    {
        string first = File.ReadAllText(_run.Write().Path);

        Assert.Equal(first, File.ReadAllText(_run.Write().Path));
    }

    [Fact]
    public void Write_CutLastLine_IsLeftOut() => Assert.Equal(8, _run.Write().Statistics.Samples);

    [Fact]
    public void Write_RunOfRows_HasNoCurve()
    {
        string results = File.ReadAllText(_run.Results)
            .Replace("\"ratio\":0.5", "\"rows\":50", StringComparison.Ordinal)
            .Replace("\"ratio\":0.8", "\"rows\":20", StringComparison.Ordinal);
        File.WriteAllText(_run.Results, results);

        WrittenReport report = _run.Write();

        Assert.Null(report.Statistics.Curve);
        Assert.Contains("there is no curve over ratios", File.ReadAllText(report.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"score\":0.8", "\"score\":\"high\"", "a number was expected")]
    [InlineData("\"policy\":\"global\"", "\"polcy\":\"global\"", "policy")]
    [InlineData("{\"dataset\"", "\"dataset\"", "wrong kind")]
    public void Write_DamagedLine_IsNamed(string text, string instead, string expected)
    {
        string[] lines = File.ReadAllLines(_run.Results);
        int line = Array.FindIndex(lines, candidate => candidate.Contains(text, StringComparison.Ordinal) && candidate.Contains("global", StringComparison.Ordinal));
        lines[line] = lines[line].Replace(text, instead, StringComparison.Ordinal);
        File.WriteAllLines(_run.Results, lines);

        string message = Assert.Throws<RunException>(() => _run.Write()).Message;

        Assert.Contains($"results.jsonl, line {line + 1}: ", message, StringComparison.Ordinal);
        Assert.Contains(expected, message, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_NoManifest_IsNamed()
    {
        File.Delete(_run.Manifest);

        string message = Assert.Throws<RunException>(() => _run.Write()).Message;

        Assert.Contains("holds no run.json; name a folder that 'edgekv eval' wrote", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_NoResults_SaysSo()
    {
        File.Delete(_run.Results);

        Assert.Contains("no results yet", Assert.Throws<ReportException>(() => _run.Write()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_FolderThatIsNotThere_NamesTheFile() => Assert.Contains(
        "nowhere", Assert.Throws<OutputException>(() => _run.Write(Path.Combine(_run.Path, "nowhere", "r.html"))).Message, StringComparison.Ordinal);

    [Fact]
    public void Read_NoChartLibrary_SaysWhatToDo()
    {
        string message = Assert.Throws<EdgeKVException>(() => ChartLibrary.Read(_run.Path)).Message;

        Assert.Contains(Path.Combine(_run.Path, "charts"), message, StringComparison.Ordinal);
        Assert.Contains("Run ./build.sh charts", message, StringComparison.Ordinal);
    }

    // Attributes and rules that make a browser fetch something.
    [GeneratedRegex("""<link\b|<img\b|<iframe\b|@import|(?<!\w)url\(\s*["']?(https?:)?//|\b(src|srcset|data|href|action)\s*=\s*["']?\s*(https?:)?//""", RegexOptions.IgnoreCase)]
    private static partial Regex Loading();

    [GeneratedRegex("""<script type="application/json" id="report-data">(.*?)</script>""")]
    private static partial Regex Data();
}
