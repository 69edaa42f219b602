namespace EdgeKV.Evaluation;

/// <summary>Judges answers.</summary>
public static class Metrics
{
    /// <summary>How well an answer meets a sample's references, by the sample's metric. All but RULER's take the best of several references.</summary>
    /// <param name="sample">The sample.</param>
    /// <param name="answer">The answer, without <see cref="EvalSample.AnswerPrefix"/>.</param>
    /// <returns>0 (wrong) to 1 (right).</returns>
    /// <exception cref="ArgumentException">
    /// The sample has no answers, its metric does not judge texts, or an answer is none for its metric (retrieval: one that names no paragraph).
    /// </exception>
    /// <remarks>
    /// Where <see cref="EvalSample.StopsAtNewline"/> says so, only the first line that is not empty counts, as in LongBench; for RULER's metrics everything does.
    /// Words are told apart by blanks and punctuation, so that F1 and ROUGE-L are not for Chinese or Japanese.
    /// </remarks>
    public static double Score(EvalSample sample, string answer)
    {
        ArgumentNullException.ThrowIfNull(sample);
        ArgumentNullException.ThrowIfNull(answer);
        if (sample.Answers.Count == 0)
        {
            throw new ArgumentException($"{sample.Source}: the sample has no answers to judge by.", nameof(sample));
        }

        string text = sample.StopsAtNewline ? answer.TrimStart('\n').Split('\n')[0] : answer;
        return sample.Metric switch
        {
            MetricNames.MatchAll => StringMatch.All(answer, sample.Answers),
            MetricNames.MatchAny => StringMatch.Any(answer, sample.Answers),
            MetricNames.ExactMatch => sample.Answers.Max(reference => WordOverlap.ExactMatch(text, reference)),
            MetricNames.F1 => sample.Answers.Max(reference => WordOverlap.F1(text, reference)),
            MetricNames.RougeL => sample.Answers.Max(reference => RougeL.F(text, reference)),
            MetricNames.Classification => sample.Answers.Max(reference => Classification.Score(text, reference, sample.Classes)),
            MetricNames.Retrieval => sample.Answers.Max(reference => NumberMatch.Retrieval(text, reference)),
            MetricNames.Count => sample.Answers.Max(reference => NumberMatch.Count(text, reference)),
            MetricNames.EditSimilarity => sample.Answers.Max(reference => EditSimilarity.Score(text, reference)),
            _ => throw new ArgumentException($"{sample.Source}: the metric \"{sample.Metric}\" does not judge texts.", nameof(sample)),
        };
    }
}
