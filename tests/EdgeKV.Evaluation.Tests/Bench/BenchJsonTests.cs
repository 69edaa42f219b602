using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace EdgeKV.Evaluation.Tests.Bench;

public sealed class BenchJsonTests : IDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"edgekv-{Guid.NewGuid()}.json");

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void Read_WhatWasWritten_IsTheSame()
    {
        BenchReport report = FakeBench.Report(FakeBench.Series());
        string text = BenchJson.Write(report);
        File.WriteAllText(_path, text);

        Assert.Equal(text, BenchJson.Write(BenchJson.Read(_path)));
        Assert.Contains("Ärger", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_Report_HasMachineModelOptionsAndFigures()
    {
        JsonElement json = JsonDocument.Parse(BenchJson.Write(FakeBench.Report(FakeBench.Series()))).RootElement;
        JsonElement series = json.GetProperty("series")[0];

        Assert.Equal("Abacus", json.GetProperty("machine").GetProperty("processor").GetString());
        Assert.Equal("0123456789abcdef", json.GetProperty("model").GetProperty("sha256").GetString());
        Assert.Equal("b10068", json.GetProperty("llamaCpp").GetString());
        Assert.Equal(15, json.GetProperty("options").GetProperty("repeats").GetInt32());
        Assert.Equal("q8_0", series.GetProperty("cacheType").GetString());
        Assert.Equal(2, series.GetProperty("cells")[0].GetProperty("speedUp").GetProperty("median").GetDouble(), 9);
        Assert.Equal(JsonValueKind.Null, series.GetProperty("passSeconds").ValueKind);
    }

    [Theory]
    [InlineData("what is this?", "is no report of a bench")]
    [InlineData("null", "is null")]
    [InlineData("{}", "is no report of a bench")]
    public void Read_SomethingElse_NamesTheFile(string content, string expected)
    {
        File.WriteAllText(_path, content);

        EdgeKVException e = Assert.Throws<EdgeKVException>(() => BenchJson.Read(_path));
        Assert.Contains(_path, e.Message, StringComparison.Ordinal);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_AKeyGivenTwice_IsNamed()
    {
        string text = BenchJson.Write(FakeBench.Report(FakeBench.Series()));
        File.WriteAllText(_path, text.Replace("\"version\": 1,", "\"version\": 2, \"version\": 1,", StringComparison.Ordinal));

        EdgeKVException e = Assert.Throws<EdgeKVException>(() => BenchJson.Read(_path));

        Assert.Contains(_path, e.Message, StringComparison.Ordinal);
        Assert.Contains("\"version\" is given twice", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("prefill.median", "-1e308", "series[0].prefill.median is -1E+308, which nobody measures")]
    [InlineData("prefill.median", "0", "series[0].prefill.median is 0, which nobody measures")]
    [InlineData("full.decode.max", "\"NaN\"", "series[0].full.decode.max is NaN, which nobody measures")]
    [InlineData("full.firstToken.min", "\"-Infinity\"", "series[0].full.firstToken.min is -")]
    [InlineData("full.emptyDecode.median", "1e308", "series[0].full.emptyDecode.median is 1E+308, which nobody measures")]
    [InlineData("prefill.median", "101", "series[0].prefill.upperQuartile is 100, and median is 101, which is never more")]
    [InlineData("prefill.count", "0", "series[0].prefill.count is 0; it is at least 1")]
    [InlineData("cells.0.speedUp.median", "-2", "series[0].cells[0].speedUp.median is -2, which nobody measures")]
    [InlineData("cells.0.idealByBytes", "\"Infinity\"", "series[0].cells[0].idealByBytes is")]
    [InlineData("cells.0.ratio", "5", "series[0].cells[0].ratio is 5; it is from 0 to below 1")]
    [InlineData("cells.0.ratioAchieved", "-1", "series[0].cells[0].ratioAchieved is -1; it is from 0 to 1")]
    [InlineData("cells.0.rows", "-1", "series[0].cells[0].rows is -1; it is at least 1")]
    [InlineData("depth", "0", "series[0].depth is 0; it is at least 1")]
    public void Read_FigureThatNobodyMeasures_IsNamedByItsKey(string key, string value, string expected)
    {
        JsonNode report = JsonNode.Parse(BenchJson.Write(FakeBench.Report(FakeBench.Series())))!;
        string[] keys = key.Split('.');
        JsonNode place = keys[..^1].Aggregate(
            report["series"]![0]!, (node, name) => int.TryParse(name, CultureInfo.InvariantCulture, out int index) ? node[index]! : node[name]!);
        Assert.NotNull(place[keys[^1]]);
        place[keys[^1]] = JsonNode.Parse(value);
        File.WriteAllText(_path, report.ToJsonString());

        EdgeKVException e = Assert.Throws<EdgeKVException>(() => BenchJson.Read(_path));

        Assert.Contains($"{_path}: {expected}", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_OneSeriesTwice_IsRefused()
    {
        BenchSeries series = FakeBench.Series();
        File.WriteAllText(_path, BenchJson.Write(FakeBench.Report(series) with { Series = [series, series] }));

        Assert.Contains("series has the depth and cacheType (1000, Q8_0) twice", Assert.Throws<EdgeKVException>(() => BenchJson.Read(_path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_OtherVersion_SaysSo()
    {
        File.WriteAllText(_path, BenchJson.Write(FakeBench.Report(FakeBench.Series()) with { Version = 99 }));

        Assert.Contains("version 99; this EdgeKV reads version 1", Assert.Throws<EdgeKVException>(() => BenchJson.Read(_path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_NoFile_NamesIt() =>
        Assert.Contains("cannot be read", Assert.Throws<EdgeKVException>(() => BenchJson.Read(_path)).Message, StringComparison.Ordinal);
}
