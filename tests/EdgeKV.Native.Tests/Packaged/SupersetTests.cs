using System.Text.RegularExpressions;

namespace EdgeKV.Native.Tests.Packaged;

/// <summary>
/// Our libllama takes the place of the one that LLamaSharp brings, which is built from a newer llama.cpp. What that one can do ours must do:
/// a model that LLamaSharp loads without EdgeKV must load with it.
/// </summary>
public sealed partial class SupersetTests
{
    private const string Draft = "Part of a draft model for speculative decoding, which LLamaSharp has no functions for.";
    private const string NoName = "Not a name of a table: a word of a message, or constants that happen to lie in front of a string.";

    /// <summary>Strings that LLamaSharp's library has and ours need not have, with the reason.</summary>
    private static readonly Dictionary<string, string> NotCarried = new()
    {
        ["conf_proj"] = Draft,
        ["markov_w1"] = Draft,
        ["markov_w1.weight"] = Draft,
        ["markov_w2"] = Draft,
        ["mtp_wqkv"] = Draft,
        ["mtp_attn_out_scaled"] = Draft,
        ["contiguous"] = NoName,
        ["seq_rm"] = NoName,
        ["attn_output.weigper_layer_token_embd.weight"] = NoName,
    };

    [Fact]
    public void Exports_OfLLamaSharpsLibrary_AreAllOurs()
    {
        Libraries.RequireLinux();
        HashSet<string> ours = [.. new ElfFile(Libraries.Ours).Exports];
        string[] theirs = [.. new ElfFile(Libraries.Packaged).Exports.Where(n => n.StartsWith("llama_", StringComparison.Ordinal))];
        Assert.Contains("llama_decode", theirs);
        Assert.Equal([], theirs.Except(ours));
    }

    /// <summary>
    /// Architectures, pre-tokenizers, chat templates, metadata keys and tensors are all found by names that stand in the file as strings.
    /// </summary>
    [Fact]
    public void Names_OfLLamaSharpsLibrary_AreAllOurs()
    {
        Libraries.RequireLinux();
        ElfFile ours = new(Libraries.Ours);
        string[] theirs = [.. new ElfFile(Libraries.Packaged).Strings.Where(s => Name().IsMatch(s)).Distinct()];
        string[] examples = ["laguna", "nanbeige", "minimax-m3", "chatml", "%s.num_loops", "blk.%d.indexer.q_proj"];
        Assert.Equal([], examples.Except(theirs));
        string[] missing = [.. theirs.Where(n => !ours.Has(n)).Except(NotCarried.Keys)];
        Assert.Equal([], missing);
    }

    /// <summary>A name of a table: an architecture, a key of a model's metadata, a tensor.</summary>
    [GeneratedRegex(@"^(%s\.|blk\.%d\.)?[a-z][a-z0-9]{2,}([._-][a-z0-9]+)*$", RegexOptions.CultureInvariant)]
    private static partial Regex Name();
}
