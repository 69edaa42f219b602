using System.Text.RegularExpressions;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Tests.Architecture;

/// <summary>No type has more than 400 lines in all its parts together.</summary>
public partial class ClassSizeTests
{
    private const int MostLines = 400;

    [Fact]
    public void Lines_EveryType_AreAtMost400() =>
        Assert.Empty(Long().Select(type => $"{type.Name} has {type.Lines} lines"));

    private static IEnumerable<(string Name, int Lines)> Long() =>
        from folder in (string[])["src", "tests", "bench", "samples"]
        from file in Directory.GetFiles(Path.Combine(Places.Checkout, folder), "*.cs", SearchOption.AllDirectories)
        from type in Types(File.ReadAllLines(file))
        group type.Lines by type.Name into parts
        let lines = parts.Sum()
        where lines > MostLines
        select (parts.Key, lines);

    // Types that no other type holds: their declarations and closing braces stand at the start of a line.
    private static IEnumerable<(string Name, int Lines)> Types(string[] lines)
    {
        string space = lines.Select(line => Namespace().Match(line)).FirstOrDefault(match => match.Success)?.Groups[1].Value ?? string.Empty;
        for (int first = 0; first < lines.Length; first++)
        {
            Match declared = Declaration().Match(lines[first]);
            if (!declared.Success)
            {
                continue;
            }

            int last = first;
            while (lines[last] != "}" && !(lines[last].EndsWith(';') && !lines[last].StartsWith(' ')) && last + 1 < lines.Length)
            {
                last++;
            }

            yield return ($"{space}.{declared.Groups[1].Value}", last - first + 1);
            first = last;
        }
    }

    [GeneratedRegex(@"^namespace ([\w.]+);")]
    private static partial Regex Namespace();

    [GeneratedRegex(@"^(?:(?:public|internal|file|static|sealed|abstract|partial|unsafe|readonly|ref) )+(?:record struct|record class|class|record|struct|interface|enum) (\w+)")]
    private static partial Regex Declaration();
}
