namespace EdgeKV.Evaluation;

/// <summary>LongBench's classification score.</summary>
internal static class Classification
{
    /// <summary>
    /// 1 / the number of classes that the answer names, if the right one is among them, else 0. A class whose name is a part of the right one's does not
    /// count, except right after another such class: the original leaves one out while it goes on through the same list, and so skips the next.
    /// </summary>
    public static double Score(string answer, string reference, IReadOnlyList<string> classes)
    {
        List<string> named = [.. classes.Where(name => answer.Contains(name, StringComparison.Ordinal))];
        for (int i = 0; i < named.Count; i++)
        {
            if (named[i] != reference && reference.Contains(named[i], StringComparison.Ordinal))
            {
                named.Remove(named[i]);
            }
        }

        return named.Contains(reference) ? 1.0 / named.Count : 0;
    }
}
