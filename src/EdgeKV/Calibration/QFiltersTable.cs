using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>
/// Q-Filters' table (arXiv 2503.02812): the main direction of every KV head's queries as they meet the cached keys, after RoPE: the first right singular
/// vector of an attention head's queries, the sign so that they lie along it on the whole, turned round and averaged over the group, of length 1.
/// </summary>
internal sealed class QFiltersTable(EdgeModel model, CalibrationOptions options, IReadOnlyList<int[]> texts, string source)
    : TableCalibration(model, options)
{
    public override string Table => QFilters.PolicyName;

    public override string Settings => Text($"{source} {Options.Threads} {string.Join(',', texts.SelectMany(text => text))}");

    public override int Units => texts.Count;

    // By layer and head: the sum of queries, then that of their products.
    public override int Length => Geometry.Heads.Total * HeadLength;

    private int HeadLength => Size * (1 + Size);

    private int Size
    {
        get
        {
            int size = Geometry.Layers[0].HeadSizeK;
            int other = Geometry.Layers.Index().FirstOrDefault(layer => layer.Item.HeadSizeK != size).Index;
            return other == 0
                ? size
                : throw new UnsupportedModelException(
                    $"{Table} takes directions of one length, and {Model.Description} has keys of {size} elements in layer 0 and of {Geometry.Layers[other].HeadSizeK} in layer {other}.");
        }
    }

    public override CalibrationStage Stage(int unit) => CalibrationStage.QueryDirections;

    public override async Task AddAsync(int unit, double[] sums, CancellationToken cancellation)
    {
        EdgeSession session = Empty(texts.Max(text => text.Length));
        session.KeepQueries();
        await session.PrefillAsync(texts[unit], progress: null, cancellation).ConfigureAwait(false);
        for (int layer = 0; layer < Geometry.Layers.Count; layer++)
        {
            int sumLength = Geometry.Heads[layer] * Size;
            double[] read = new double[Geometry.Heads[layer] * HeadLength];
            session.ReadQueries(NativeQuerySum.RotatedQueries, layer, read.AsSpan(0, sumLength));
            session.ReadQueries(NativeQuerySum.RotatedQueryProducts, layer, read.AsSpan(sumLength));
            Span<double> to = sums.AsSpan(Geometry.Heads.First(layer) * HeadLength, read.Length);
            TensorPrimitives.Add(to, read, to);
        }
    }

    public override ProfileTable Finish(double[] sums)
    {
        int size = Size;
        float[] directions = new float[Geometry.KvHeads.Total * size];
        double[] shares = new double[Geometry.Heads.Total];
        Parallel.For(0, Geometry.KvHeads.Total, list =>
        {
            (int layer, int kvHead) = Geometry.KvHeads.At(list);
            int group = Geometry.GroupSize(layer);
            int first = Geometry.Heads.First(layer);
            int start = first * HeadLength;
            int productsStart = start + Geometry.Heads[layer] * size;
            double[] mean = new double[size];
            for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
            {
                ReadOnlySpan<double> products = sums.AsSpan(productsStart + head * size * size, size * size);
                (double[] direction, shares[first + head]) = MainDirection(products, size);
                double along = TensorPrimitives.Dot(direction, sums.AsSpan(start + head * size, size));
                TensorPrimitives.MultiplyAdd<double>(direction, along < 0 ? 1 : -1, mean, mean);
            }

            double norm = TensorPrimitives.Norm<double>(mean);
            for (int i = 0; i < size; i++)
            {
                directions[list * size + i] = norm > 0 ? (float)(mean[i] / norm) : 0;
            }
        });
        return ProfileTable.OfHeads(
            Table,
            Geometry.KvHeads,
            [(QueryDirections.Directions, directions)],
            others: [],
            new Dictionary<string, string>
            {
                ["method"] = "Q-Filters, arXiv 2503.02812: first singular vector of each attention head's queries after RoPE, signed by their mean, averaged over the group",
                ["texts"] = source,
                ["share"] = Text($"{shares.Average():0.00} of the queries' squares lie along the direction (mean over heads; {shares.Min():0.00} to {shares.Max():0.00})"),
                ["threads"] = Text($"{Options.Threads}"),
            },
            after: [size]);
    }

    /// <summary>The eigenvector of the largest eigenvalue of a symmetric positive matrix, and that eigenvalue by the sum of all.</summary>
    /// <remarks>Squaring the matrix 24 times leaves of any other direction what (ratio of eigenvalues)^(2^24) leaves: less than a double shows.</remarks>
    internal static (double[] Direction, double Share) MainDirection(ReadOnlySpan<double> matrix, int size)
    {
        const int Squarings = 24;
        double[] power = matrix.ToArray();
        double[] squared = new double[power.Length];
        for (int i = 0; i <= Squarings; i++)
        {
            double norm = TensorPrimitives.Norm<double>(power);
            if (!(norm > 0))
            {
                return (new double[size], 0);
            }

            TensorPrimitives.Divide(power, norm, power);
            if (i == Squarings)
            {
                break;
            }

            // Symmetric: rows are columns.
            for (int row = 0; row < size; row++)
            {
                for (int column = 0; column <= row; column++)
                {
                    double product = TensorPrimitives.Dot<double>(power.AsSpan(row * size, size), power.AsSpan(column * size, size));
                    squared[row * size + column] = product;
                    squared[column * size + row] = product;
                }
            }

            (power, squared) = (squared, power);
        }

        // All columns are multiples of the direction; the longest is the most exact.
        int longest = Enumerable.Range(0, size).MaxBy(row => TensorPrimitives.Norm<double>(power.AsSpan(row * size, size)));
        double[] direction = power.AsSpan(longest * size, size).ToArray();
        TensorPrimitives.Divide(direction, TensorPrimitives.Norm<double>(direction), direction);
        double largest = 0;
        double trace = 0;
        for (int row = 0; row < size; row++)
        {
            largest += direction[row] * TensorPrimitives.Dot(matrix.Slice(row * size, size), direction);
            trace += matrix[row * size + row];
        }

        return (direction, largest / trace);
    }
}
