using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>RULER's metrics (arXiv 2404.06654): which references an answer contains, in any case.</summary>
internal static class StringMatch
{
    /// <summary>The share of the references that are found.</summary>
    public static double All(string answer, IReadOnlyList<string> references)
    {
        string text = Prepare(answer);
        return references.Average(reference => Contains(text, reference) ? 1.0 : 0.0);
    }

    /// <summary>1 if a reference is found, else 0.</summary>
    public static double Any(string answer, IReadOnlyList<string> references)
    {
        string text = Prepare(answer);
        return references.Any(reference => Contains(text, reference)) ? 1.0 : 0.0;
    }

    private static bool Contains(string text, string reference) => text.Contains(PythonText.Lower(reference), StringComparison.Ordinal);

    // Trimmed, control characters become newlines, and trimmed again.
    private static string Prepare(string answer)
    {
        StringBuilder text = new(answer.Length);
        foreach (char c in PythonText.Strip(answer))
        {
            text.Append(c < ' ' ? '\n' : c);
        }

        return PythonText.Lower(PythonText.Strip(text.ToString()));
    }
}
