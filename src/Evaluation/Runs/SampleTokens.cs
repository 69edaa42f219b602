using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>The tokens that a sample feeds.</summary>
internal static class SampleTokens
{
    /// <summary>What is compressed.</summary>
    public static int[] Context(EdgeModel model, EvalOptions options, EvalSample sample) =>
        model.TokenizeDocument(options.QueryAware ? sample.Context + sample.Question : sample.Context);

    /// <summary>What is fed after it.</summary>
    public static int[] Asked(EdgeModel model, EvalSample sample) => sample.Metric == MetricNames.Perplexity
        ? model.Tokenize(sample.Question)
        : model.TokenizeQuestion(sample.Question, sample.AnswerPrefix);

    /// <summary>The text whose perplexity is measured. Its first token is not judged, so that there is one more.</summary>
    /// <exception cref="DatasetException">There are fewer than two tokens.</exception>
    public static int[] Continuation(EdgeModel model, EvalSample sample) => model.Tokenize(sample.Answers[0]) is { Length: > 1 } tokens
        ? tokens
        : throw new DatasetException(
            $"{sample.Source}: the continuation in the field \"answers\" is 1 token long for this model, and a perplexity needs 2; give a longer one, or leave the sample out.");

    /// <summary>The most positions of an answer.</summary>
    public static int AnswerRoom(EdgeModel model, EvalSample sample) =>
        sample.Metric == MetricNames.Perplexity ? Continuation(model, sample).Length : sample.NewTokens;
}
