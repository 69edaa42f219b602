using EdgeKV.App.Tests.Outputs;
using EdgeKV.Cli;

namespace EdgeKV.App.Tests;

public class HintsTests
{
    [Theory]
    [InlineData("models/a.gguf", "models/a.gguf", "models/a.gguf")]
    [InlineData("my model.gguf", "'my model.gguf'", "\"my model.gguf\"")]
    [InlineData("it's.gguf", @"'it'\''s.gguf'", "\"it's.gguf\"")]
    [InlineData("a$(b).gguf", "'a$(b).gguf'", "\"a$(b).gguf\"")]
    [InlineData(@"C:\a.gguf", @"'C:\a.gguf'", @"C:\a.gguf")]
    [InlineData("~x", "'~x'", "\"~x\"")]
    [InlineData("", "''", "\"\"")]
    public void Quote_AnyWord_IsOneWordOfTheShell(string word, string posix, string windows)
    {
        Assert.Equal(posix, Hints.Quote(word, windows: false));
        Assert.Equal(windows, Hints.Quote(word, windows: true));
    }

    [Fact]
    public async Task Quote_EveryAsciiCharacter_IsWhatTheShellReads()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "There is no POSIX shell.");
        string word = string.Concat(Enumerable.Range(1, 126).Select(code => (char)code)) + "é☃";

        Assert.Equal($"|{word}|", await Programs.RunAsync("sh", "-c", $"printf '|%s|' {Hints.Quote(word, windows: false)}"));
    }

    [Fact]
    public void Calibrate_AFileThatLooksLikeAnOption_IsAPath() =>
        Assert.Equal($"edgekv calibrate {Path.Combine(".", "-a.gguf")} --for x", Hints.Calibrate("-a.gguf", "x"));
}
