using System.Globalization;
using System.Text.RegularExpressions;
using EdgeKV.Calibration;

namespace EdgeKV.Tests.Calibration;

/// <summary>Which texts are learned from.</summary>
public sealed partial class CalibrationTextsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-texts-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Take_Twice_GivesTheSameTexts()
    {
        CalibrationTexts texts = Write(30);

        Assert.Equal(Texts(texts, heldOut: false), Texts(CalibrationTexts.From(_folder), heldOut: false));
        Assert.NotEqual(Texts(texts, heldOut: false), Texts(texts, heldOut: false, seed: 2));
    }

    [Fact]
    public void Take_HeldOut_SharesNothingWithTheOthers()
    {
        CalibrationTexts texts = Write(30);

        HashSet<string> learned = [.. Texts(texts, heldOut: false).SelectMany(Marks)];
        HashSet<string> held = [.. Texts(texts, heldOut: true).SelectMany(Marks)];

        Assert.NotEmpty(held);
        Assert.Empty(held.Intersect(learned));
        Assert.InRange((double)held.Count / learned.Count, 0.03, 0.3);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(9)]
    [InlineData(10)]
    public void Take_AFewFiles_HoldsATenthOutOfAllOfThem(int files)
    {
        string[] paths = [.. Enumerable.Range(0, files).Select(i => Path.Combine(_folder, $"{i}.md"))];
        for (int i = 0; i < files; i++)
        {
            File.WriteAllText(paths[i], Document(i, lines: 400));
        }

        CalibrationTexts texts = CalibrationTexts.From(paths);

        int[] lines = [.. new[] { false, true }.Select(heldOut => Texts(texts, heldOut).SelectMany(Marks).Distinct().Count())];
        Assert.InRange(lines[1], 0.07 * lines.Sum(), 0.15 * lines.Sum());
    }

    [Fact]
    public void Take_OneFile_HoldsItsBeginningOut()
    {
        string path = Path.Combine(_folder, "one.weird");
        File.WriteAllText(path, Document(0, lines: 400));
        CalibrationTexts texts = CalibrationTexts.From(path);

        Assert.Single(Texts(texts, heldOut: true), text => text.Contains("mark0x0 ", StringComparison.Ordinal));
        Assert.Single(Texts(texts, heldOut: false), text => text.Contains("mark0x399 ", StringComparison.Ordinal));
    }

    [Fact]
    public void Take_SomeTexts_HoldStringsToBeGivenBackWordForWord()
    {
        CalibrationText[] texts = [.. Write(60).Take(heldOut: false, 100, 1)];

        Assert.All(texts, t => Assert.Equal(t.IsMixed, Digits().IsMatch(t.Text)));
        Assert.InRange(texts.Count(t => t.IsMixed), texts.Length / 5, texts.Length / 3);
    }

    [Fact]
    public void Take_MixedTexts_AreOfBothKinds()
    {
        // As long as there are both.
        CalibrationText[] texts = [.. Write(60).Take(heldOut: false, 100, 1).Take(16)];

        string[] mixed = [.. texts.Where(t => t.IsMixed).Select(t => Marks(t.Text).First())];
        Assert.Contains(mixed, mark => Number(mark) % 3 == 0);
        Assert.Contains(mixed, mark => Number(mark) % 3 != 0);
    }

    [Fact]
    public void Take_OneFileMuchLargerThanOthers_HasNoMoreOfTheFirstTextsThanThey()
    {
        File.WriteAllText(Path.Combine(_folder, "large.md"), Document(999, lines: 20_000));
        CalibrationTexts texts = Write(60);

        int[] first = [.. Texts(texts, heldOut: false).Concat(Texts(texts, heldOut: true)).Take(30).Select(text => Number(Marks(text).First()))];

        Assert.InRange(first.Count(number => number == 999), 0, 1);
        Assert.Equal(first.Length, first.Distinct().Count());
    }

    [Fact]
    public void From_FolderWithOtherThings_TakesTextsAlone()
    {
        File.WriteAllText(Path.Combine(_folder, "a.md"), Document(1, 40));
        File.WriteAllText(Path.Combine(_folder, "b.png"), Document(2, 40));
        File.WriteAllText(Path.Combine(_folder, "short.md"), "a word");

        Assert.Equal(1, CalibrationTexts.From(_folder).Files);
    }

    [Fact]
    public void From_NothingToRead_NamesWhereItLooked()
    {
        Assert.Contains(_folder, Assert.Throws<CalibrationTextException>(() => CalibrationTexts.From(_folder)).Message, StringComparison.Ordinal);
        string missing = Path.Combine(_folder, "none.txt");
        Assert.Contains("none.txt", Assert.Throws<CalibrationTextException>(() => CalibrationTexts.From(missing)).Message, StringComparison.Ordinal);
        string binary = Path.Combine(_folder, "binary.txt");
        File.WriteAllBytes(binary, new byte[1000]);
        Assert.Contains("zero bytes", Assert.Throws<CalibrationTextException>(() => CalibrationTexts.From(binary)).Message, StringComparison.Ordinal);
    }

    private static string[] Texts(CalibrationTexts texts, bool heldOut, int seed = 1) => [.. texts.Take(heldOut, 100, seed).Select(t => t.Text)];

    private static IEnumerable<string> Marks(string text) => Mark().Matches(text).Select(m => m.Value);

    private static int Number(string mark) => int.Parse(mark["mark".Length..mark.IndexOf('x', StringComparison.Ordinal)], CultureInfo.InvariantCulture);

    private static string Document(int number, int lines) => string.Concat(
        Enumerable.Range(0, lines).Select(i => $"mark{number}x{i} stands between several ordinary words.\n"));

    private CalibrationTexts Write(int files)
    {
        for (int i = 0; i < files; i++)
        {
            File.WriteAllText(Path.Combine(_folder, $"{i}{(i % 3 == 0 ? ".cpp" : ".md")}"), Document(i, 40));
        }

        return CalibrationTexts.From(_folder);
    }

    [GeneratedRegex(@"mark\d+x\d+ ")]
    private static partial Regex Mark();

    [GeneratedRegex(@"(?<!mark\d*x?)\d{4}|\d[.-]\d|[0-9a-f]{8}")]
    private static partial Regex Digits();
}
