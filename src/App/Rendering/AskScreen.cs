using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Terminals;

namespace EdgeKV.Cli.Rendering;

/// <summary>Shows a run of <c>ask</c>: progress on standard error while a person watches it, answers on standard output as they come.</summary>
internal sealed class AskScreen(Terminal terminal, bool json) : IAskObserver
{
    // With --json standard output belongs to the one object; answers are then streamed only to a person who watches the other stream.
    private readonly TextWriter _answers = !json ? terminal.Out : terminal.WatchedError ? terminal.Error : TextWriter.Null;
    private string? _lastQuestion;

    public Task<T> StageAsync<T>(string title, Func<IProgress<double>, Task<T>> work) => new ProgressScreen(terminal).StageAsync(title, work);

    public void Note(string message) => terminal.Say(message);

    public void AnswerBegins(string question, string source)
    {
        if (question != _lastQuestion)
        {
            _answers.WriteLine();
            _answers.WriteLine($"Q: {question}");
            _lastQuestion = question;
        }

        _answers.Write($"{source}: ");
        _answers.Flush();
    }

    public void AnswerPiece(string piece)
    {
        _answers.Write(piece);
        _answers.Flush();
    }

    public void AnswerEnds()
    {
        _answers.WriteLine();
        _answers.Flush();
    }
}
