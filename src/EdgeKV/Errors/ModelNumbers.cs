using System.Numerics.Tensors;

namespace EdgeKV;

/// <summary>Finds what a model computes to be numbers, in the places where it is read.</summary>
internal static class ModelNumbers
{
    /// <summary>Refuses a logit that is NaN.</summary>
    /// <exception cref="ModelException">It is.</exception>
    public static void EnsureLogit(float logit)
    {
        if (float.IsNaN(logit))
        {
            throw None("logits");
        }
    }

    /// <summary>Refuses logits among which one is NaN.</summary>
    /// <exception cref="ModelException">One is.</exception>
    public static void EnsureLogits(ReadOnlySpan<float> logits) => EnsureScores(logits, "logits");

    /// <summary>Refuses scores among which one is NaN.</summary>
    /// <param name="scores">What was read of the model.</param>
    /// <param name="what">What they are, for the message.</param>
    /// <exception cref="ModelException">One is.</exception>
    public static void EnsureScores(ReadOnlySpan<float> scores, string what)
    {
        if (TensorPrimitives.IsNaNAny(scores))
        {
            throw None(what);
        }
    }

    private static ModelException None(string what) =>
        new($"The model computes no numbers: its {what} are NaN. The file is damaged or was badly converted; take another file of this model.");
}
