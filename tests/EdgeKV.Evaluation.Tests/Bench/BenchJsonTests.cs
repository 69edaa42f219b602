using System.Text.Json;

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
        Assert.Contains("Duplicate property 'version'", e.Message, StringComparison.Ordinal);
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
