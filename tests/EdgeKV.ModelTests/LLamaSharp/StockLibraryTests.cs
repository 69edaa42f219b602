using System.Text.Json;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>LLamaSharp on EdgeKV's libllama beside LLamaSharp on the libllama of its own package, each in a process of its own.</summary>
public sealed class StockLibraryTests
{
    private static readonly Lazy<Dictionary<string, string>> Packaged = new(() => Texts("packaged"));
    private static readonly Lazy<Dictionary<string, string>> EdgeKV = new(() => Texts("edgekv"));
    private static readonly Lazy<Dictionary<string, string>> Attached = new(() => Texts("attached"));

    public static TheoryData<string> Executors => ["stateless", "sampled", "grammar", "interactive", "chat", "batched", "state", "embeddings"];

    [Theory]
    [MemberData(nameof(Executors))]
    public void Executors_OnEitherLibrary_SayTheSame(string executor)
    {
        Assert.True(Packaged.Value[executor].Length > 10, $"'{Packaged.Value[executor]}'");
        Assert.Equal(Packaged.Value[executor], EdgeKV.Value[executor]);
        Assert.Equal(Packaged.Value[executor], Attached.Value[executor]);
    }

    [Theory]
    [InlineData("first")]
    [InlineData("last")]
    public void Process_ThatUsesMtmdToo_HasOneOfEachLibrary(string order)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux lists what is mapped.");
        string[] files = LLamaSharpProcess.Lines("edgekv", "mapped", order);

        string llama = Assert.Single(files, file => Path.GetFileName(file).StartsWith("libllama", StringComparison.Ordinal));
        Assert.Contains($"{Path.DirectorySeparatorChar}edgekv{Path.DirectorySeparatorChar}", llama, StringComparison.Ordinal);
        Assert.Single(files, file => Path.GetFileName(file).StartsWith("libggml-base", StringComparison.Ordinal));
        Assert.Single(files, file => Path.GetFileName(file).StartsWith("libmtmd", StringComparison.Ordinal));
    }

    /// <summary>The runner is built with EdgeKVUseAtStart=false.</summary>
    [Fact]
    public void Process_ThatReferencesEdgeKVAndOptsOut_HasLLamaSharpsOwnLibrary()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux lists what is mapped.");
        string[] files = LLamaSharpProcess.Lines("packaged", "mapped", "last");

        string llama = Assert.Single(files, file => Path.GetFileName(file).StartsWith("libllama", StringComparison.Ordinal));
        Assert.Contains($"{Path.DirectorySeparatorChar}runtimes{Path.DirectorySeparatorChar}", llama, StringComparison.Ordinal);
    }

    [Fact]
    public void Attach_ModelParamsMadeBeforeUse_SaysSo()
    {
        string reason = LLamaSharpProcess.Lines("edgekv", "late", TinyModels.PathOf(TinyModel.Qwen2))[^1];

        Assert.StartsWith(nameof(NativeLibraryException), reason, StringComparison.Ordinal);
        Assert.Contains("before any ModelParams is made", reason, StringComparison.Ordinal);
    }

    private static Dictionary<string, string> Texts(string library) =>
        JsonSerializer.Deserialize<Dictionary<string, string>>(LLamaSharpProcess.Lines(library, "texts", Places.Model)[^1])!;
}
