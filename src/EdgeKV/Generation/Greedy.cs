using System.Numerics.Tensors;
using EdgeKV.Engine;

namespace EdgeKV.Generation;

/// <summary>Greedy decoding: always the likeliest token.</summary>
public static class Greedy
{
    /// <summary>The likeliest token.</summary>
    /// <param name="logits">[vocabulary].</param>
    /// <exception cref="ModelException">The largest logit is not a finite number, or all are the same.</exception>
    public static int Pick(ReadOnlySpan<float> logits)
    {
        // The first NaN counts as the largest number.
        int token = TensorPrimitives.IndexOfMax(logits);
        ModelNumbers.EnsureLikeliest(logits[token]);
        ModelNumbers.EnsureLogits(logits);
        return token;
    }

    /// <summary>
    /// Continues from the context's last logits, picking and feeding the likeliest token until the model ends its turn, a number of tokens is reached, the caller says
    /// so or the window is full. The last token is picked and not fed, unless the window is not full and <paramref name="feedLast"/> is set.
    /// </summary>
    /// <param name="context">A context whose last decode left logits.</param>
    /// <param name="most">The most tokens, 0 and up.</param>
    /// <param name="isLast">Asked after every token that was picked, with all tokens so far: whether this one is the last. Null: none is for that reason.</param>
    /// <param name="feedLast">Whether the last token is fed too, so that the context holds the whole answer.</param>
    /// <param name="cancellationToken">Asked before every step.</param>
    /// <returns>The tokens picked, the one that ended the turn not among them.</returns>
    public static IReadOnlyList<int> Continue(
        KvContext context, int most, Func<IReadOnlyList<int>, bool>? isLast = null, bool feedLast = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        List<int> tokens = [];
        ReadOnlySpan<float> logits = most > 0 ? context.Logits() : [];
        while (tokens.Count < most)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int token = Pick(logits);
            if (context.Model.IsEnd(token))
            {
                break;
            }

            tokens.Add(token);
            bool last = tokens.Count == most || isLast?.Invoke(tokens) == true;
            if (context.Position >= context.Limit || (last && !feedLast))
            {
                break;
            }

            logits = context.Decode([token]);
            if (last)
            {
                break;
            }
        }

        return tokens;
    }
}
