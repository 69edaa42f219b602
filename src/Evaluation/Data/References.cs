namespace EdgeKV.Evaluation;

/// <summary>Whether right answers can tell right from wrong by the metric that they are for.</summary>
internal static class References
{
    /// <summary>What is wrong with the right answers of a retrieval; null: nothing.</summary>
    public static string? WithoutParagraph(IReadOnlyList<string> answers) =>
        answers.FirstOrDefault(answer => NumberMatch.Paragraph(answer) is null) is { } wrong
            ? $"the answer \"{wrong}\" names no paragraph, such as \"Paragraph 7\""
            : null;

    /// <summary>What is wrong with a sample's right answers; null: nothing.</summary>
    /// <remarks>An answer of nothing must not be right, and a right answer must be. Similarity of code leaves lines with comments out, right ones too.</remarks>
    public static string? Wrong(EvalSample sample)
    {
        if (sample.Metric == MetricNames.Perplexity)
        {
            return null;
        }

        if (sample.Classes.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { Key: var twice })
        {
            return $"the class \"{twice}\" is given twice, so that it could not be right alone";
        }

        if (sample.Metric == MetricNames.Retrieval && WithoutParagraph(sample.Answers) is { } wrong)
        {
            return wrong;
        }

        if (sample.Answers.FirstOrDefault(answer => Metrics.Score(sample with { Answers = [answer] }, string.Empty) > 0) is { } always)
        {
            return $"an answer of no words would be right by {sample.Metric}, because of \"{always}\"";
        }

        return sample.Metric != MetricNames.EditSimilarity && sample.Answers.All(answer => Metrics.Score(sample, answer) == 0)
            ? $"nothing is right by {sample.Metric}, not even \"{sample.Answers[0]}\""
            : null;
    }
}
