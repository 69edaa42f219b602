namespace EdgeKV.Cli.Asking;

/// <summary>Sees a run of <c>ask</c> as it goes on. The run itself writes nothing.</summary>
internal interface IAskObserver
{
    /// <summary>Runs one long stage and shows how far it is.</summary>
    /// <param name="title">What is being done, for people.</param>
    /// <param name="work">Reports shares from 0 to 1.</param>
    Task<T> StageAsync<T>(string title, Func<IProgress<double>, Task<T>> work);

    /// <summary>Something that the user should know, in one line.</summary>
    void Note(string message);

    /// <summary>An answer begins.</summary>
    /// <param name="question">The question as it was asked.</param>
    /// <param name="source">Which cache answers: for people.</param>
    void AnswerBegins(string question, string source);

    /// <summary>The next piece of the answer.</summary>
    void AnswerPiece(string piece);

    /// <summary>The answer is complete.</summary>
    void AnswerEnds();
}
