using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Planning;

/// <summary>
/// Which kept row takes in the value of which dropped row, in one KV head (KV merging, NVIDIA/kvpress, merging_press): the one whose cached key is
/// most like the dropped one's, by their cosine c, if c is above 0; of equal ones the earlier. Its weight is c ||v|| / (||v|| + ||v_kept||); the kept value
/// becomes (v_kept + sum of weights * v) / (1 + sum of weights). Keys stay.
/// </summary>
/// <param name="Dropped">Positions of dropped rows, ascending.</param>
/// <param name="Kept">The kept position that each one's value goes into.</param>
/// <param name="Weights">0 to 1.</param>
internal sealed record MergedRows(int[] Dropped, int[] Kept, float[] Weights)
{
    /// <summary>The pairs of a KV head. Costs a product of two keys for every dropped and every kept row.</summary>
    /// <param name="keys">The layer's keys.</param>
    /// <param name="values">The layer's values.</param>
    /// <param name="kvHead">0 to kvHeads - 1.</param>
    /// <param name="tokens">Context tokens.</param>
    /// <param name="kept">The positions that stay, ascending.</param>
    /// <param name="cancellation">Stops the work.</param>
    public static MergedRows Of(
        LayerRows keys, LayerRows values, int kvHead, int tokens, ReadOnlySpan<int> kept, CancellationToken cancellation = default)
    {
        int[] there = kept.ToArray();
        int[] gone = Others(there, tokens);
        int[] targets = new int[gone.Length];
        float[] weights = new float[gone.Length];
        float[] directions = Directions(keys, kvHead, there);
        if (there.Length > 0)
        {
            Parallel.For(0, gone.Length, new ParallelOptions { CancellationToken = cancellation }, i =>
            {
                ReadOnlySpan<float> key = keys.Row(kvHead, gone[i]);
                (int best, float product) = MostLike(key, directions);
                targets[i] = there[best];
                if (product > 0)
                {
                    float own = TensorPrimitives.Norm(values.Row(kvHead, gone[i]));
                    float other = TensorPrimitives.Norm(values.Row(kvHead, there[best]));
                    weights[i] = own == 0 ? 0 : Math.Min(1, product / TensorPrimitives.Norm(key)) * own / (own + other);
                }
            });
        }

        int[] merged = [.. Enumerable.Range(0, gone.Length).Where(i => weights[i] > 0)];
        return new MergedRows(
            Array.ConvertAll(merged, i => gone[i]), Array.ConvertAll(merged, i => targets[i]), Array.ConvertAll(merged, i => weights[i]));
    }

    private static int[] Others(int[] kept, int tokens)
    {
        int[] others = new int[tokens - kept.Length];
        int next = 0;
        int written = 0;
        for (int position = 0; position < tokens; position++)
        {
            if (next < kept.Length && kept[next] == position)
            {
                next++;
            }
            else
            {
                others[written++] = position;
            }
        }

        return others;
    }

    // Kept keys of length 1, [kept, headSize]; a key of zeros is like none.
    private static float[] Directions(LayerRows keys, int kvHead, int[] kept)
    {
        int size = keys.HeadSize;
        float[] directions = new float[checked(kept.Length * size)];
        for (int i = 0; i < kept.Length; i++)
        {
            ReadOnlySpan<float> key = keys.Row(kvHead, kept[i]);
            float length = TensorPrimitives.Norm(key);
            if (length > 0)
            {
                TensorPrimitives.Divide(key, length, directions.AsSpan(i * size, size));
            }
        }

        return directions;
    }

    private static (int Index, float Product) MostLike(ReadOnlySpan<float> key, ReadOnlySpan<float> directions)
    {
        int best = 0;
        float most = float.NegativeInfinity;
        for (int i = 0; i * key.Length < directions.Length; i++)
        {
            float product = TensorPrimitives.Dot(key, directions.Slice(i * key.Length, key.Length));
            if (product > most)
            {
                (best, most) = (i, product);
            }
        }

        return (best, most);
    }
}
