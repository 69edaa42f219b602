using EdgeKV.Compression;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.ModelTests;

/// <summary>The whole way, as a user goes it: the bundled model reads the bundled document and answers from a fifth of its cache.</summary>
public sealed class SessionTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Ask_FourFifthsAreGone_TheAnswersAreStillRight(bool structured)
    {
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession();
        await session.PrefillAsync(File.ReadAllText(Places.Document));
        int position = session.Position;
        CompressionReport report = await session.CompressAsync(new KVCompose { Ratio = 0.8, Structured = structured });

        Assert.Equal(structured, report.IsComposite);
        Assert.InRange(report.RatioAchieved, 0.8, 0.801);
        Assert.True(report.TotalRowsAfter * 5 <= report.TotalRowsBefore);
        foreach (var (question, answer) in Questions().Take(2))
        {
            string text = "";
            await foreach (string piece in session.GenerateAsync(question, new GenerationOptions { MaxTokens = 32 }))
            {
                text += piece;
            }

            Assert.Contains(answer, text, StringComparison.Ordinal);
            Assert.Equal(position, session.Position);
        }
    }

    [Fact]
    public async Task SaveAndLoad_OfACompressedSession_GivesTheSameAnswer()
    {
        string text = File.ReadAllText(Places.Document)[..3000];
        var (question, _) = Questions().First();
        string path = Path.Combine(Places.Cache, $"session-{Environment.ProcessId}");
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession();
        await session.PrefillAsync(text);
        await session.CompressAsync(new KVCompose { Ratio = 0.5, Structured = false });
        try
        {
            await session.SaveAsync(path);
            using EdgeSession other = model.CreateSession();
            await other.LoadAsync(path);
            Assert.Equal(session.Position, other.Position);
            Assert.Equal(session.Cache.Rows, other.Cache.Rows);
            Assert.Equal(await Answer(session, question), await Answer(other, question));
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static async Task<string> Answer(EdgeSession session, string question)
    {
        string text = "";
        await foreach (string piece in session.GenerateAsync(question, new GenerationOptions { MaxTokens = 16 }))
        {
            text += piece;
        }

        return text;
    }

    private static IEnumerable<(string Question, string Answer)> Questions() =>
        File.ReadLines(Path.Combine(Path.GetDirectoryName(Places.Document)!, "questions.txt"))
            .Where(l => l.Length > 0 && l[0] != '#')
            .Select(l => l.Split('\t'))
            .Select(l => (l[0], l[1]));
}
