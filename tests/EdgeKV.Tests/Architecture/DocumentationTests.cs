using System.Text.RegularExpressions;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Tests.Architecture;

/// <summary>Files and folders that the documentation names are there.</summary>
public partial class DocumentationTests
{
    [Fact]
    public void Links_EveryPage_LeadToFilesOfTheCheckout() =>
        Assert.Empty(
            from page in Pages()
            from Match link in Link().Matches(File.ReadAllText(page))
            let target = link.Groups[1].Value
            where !target.Contains("://", StringComparison.Ordinal)
            where !Path.Exists(Path.Combine(Path.GetDirectoryName(page)!, target))
            select $"{Name(page)} links to {target}");

    [Fact]
    public void Paths_EveryPage_AreInTheCheckout() =>
        Assert.Empty(
            from page in Pages()
            from Match path in OwnPath().Matches(File.ReadAllText(page))
            let named = path.Groups[1].Value
            where !Path.Exists(Path.Combine(Places.Checkout, named))
            select $"{Name(page)} names {named}");

    private static IEnumerable<string> Pages() =>
        [Path.Combine(Places.Checkout, "README.md"), .. Directory.GetFiles(Path.Combine(Places.Checkout, "docs"), "*.md", SearchOption.AllDirectories)];

    private static string Name(string page) => Path.GetRelativePath(Places.Checkout, page);

    [GeneratedRegex(@"\]\(([^)#\s]+)(?:#[^)]*)?\)")]
    private static partial Regex Link();

    // In code, from one of the checkout's own folders on.
    [GeneratedRegex(@"`((?:src/(?:Native|EdgeKV|Evaluation|Extensions\.AI|App)|native/edgekv|native/tests|native/patches|tests|bench|samples|docs|build)/[\w./-]+)`")]
    private static partial Regex OwnPath();
}
