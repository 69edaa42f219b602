using System.Text;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Native.Tests;
using EdgeKV.Sessions;

[assembly: AssemblyFixture(typeof(ModelFixture))]

namespace EdgeKV.Native.Tests;

/// <summary>The bundled model, loaded once.</summary>
public sealed class ModelFixture : IDisposable
{
    private readonly Lazy<EdgeModel> _model = new(() => EdgeModel.Load(Places.Model));

    public static string Document { get; } =
        "The harbour of Lindaven was opened in 1874 by the engineer Marit Solberg. Its lighthouse is 41 metres tall and painted green. "
        + "Every spring the town holds a race of small wooden boats, and the winner receives a silver herring.\n\n";

    /// <summary>One thread: on a machine that does other work too, spinning threads that wait for each other would take minutes.</summary>
    public static SessionOptions Options { get; } = new() { Threads = 1 };

    public EdgeModel Model => _model.Value;

    /// <summary>A session that has read the document.</summary>
    public async Task<EdgeSession> Reader(SessionOptions? options = null)
    {
        EdgeSession session = Model.CreateSession(options ?? Options);
        await session.PrefillAsync(Document);
        return session;
    }

    /// <summary>An answer's pieces, put together.</summary>
    public static async Task<string> Answer(EdgeSession session, string question, GenerationOptions? options = null) =>
        (await Result(session, question, options)).Text;

    /// <summary>An answer as a whole.</summary>
    public static async Task<AnswerResult> Result(EdgeSession session, string question, GenerationOptions? options = null)
    {
        Answer answer = session.GenerateAsync(question, options ?? new GenerationOptions { MaxTokens = 8 });
        StringBuilder text = new();
        await foreach (string piece in answer)
        {
            text.Append(piece);
        }

        Assert.Equal(text.ToString(), answer.Result.Text);
        return answer.Result;
    }

    public void Dispose()
    {
        if (_model.IsValueCreated)
        {
            _model.Value.Dispose();
        }
    }
}
