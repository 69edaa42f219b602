using System.Numerics.Tensors;

namespace EdgeKV;

/// <summary>Finds what a model computes to be numbers, in the places where it is read.</summary>
internal static class ModelNumbers
{
    /// <summary>
    /// Refuses logits that say nothing: the first is NaN, or all are the same number, so that no token is likelier than another. Costs nothing where the first two differ.
    /// </summary>
    /// <param name="logits">[vocabulary].</param>
    /// <exception cref="ModelException">They say nothing.</exception>
    public static void EnsureLogits(ReadOnlySpan<float> logits)
    {
        if (float.IsNaN(logits[0]))
        {
            throw None("logits are NaN");
        }

        if (logits.Length > 1 && !logits.ContainsAnyExcept(logits[0]))
        {
            throw None($"logits are all {logits[0]}");
        }
    }

    /// <summary>Refuses logits of which one is not a finite number, where all of them are to be drawn from.</summary>
    /// <param name="logits">[vocabulary].</param>
    /// <exception cref="ModelException">One is NaN or positive infinity.</exception>
    public static void EnsureDrawable(ReadOnlySpan<float> logits)
    {
        EnsureLogits(logits);
        EnsureScores(logits, "logits");
        EnsureLikeliest(TensorPrimitives.Max(logits));
    }

    /// <summary>Refuses a largest logit that is not a finite number: negative infinity stands for tokens that a model never gives.</summary>
    /// <exception cref="ModelException">It is NaN or infinite.</exception>
    public static void EnsureLikeliest(float logit)
    {
        if (!float.IsFinite(logit))
        {
            throw None($"largest logit is {logit}");
        }
    }

    /// <summary>Refuses scores among which one is NaN.</summary>
    /// <param name="scores">What was read of the model.</param>
    /// <param name="what">What they are, for the message.</param>
    /// <exception cref="ModelException">One is.</exception>
    public static void EnsureScores(ReadOnlySpan<float> scores, string what)
    {
        if (TensorPrimitives.IsNaNAny(scores))
        {
            throw None($"{what} are NaN");
        }
    }

    private static ModelException None(string what) =>
        new($"The model computes no numbers: its {what}. The file is damaged or was badly converted; take another file of this model.");
}
