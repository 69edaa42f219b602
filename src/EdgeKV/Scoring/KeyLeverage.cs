using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;

namespace EdgeKV.Scoring;

/// <summary>
/// How far each key stands out from the others of its KV head, [layers, kvHeads, tokens], 0 to 1: its leverage
/// x[j]^T (X^T X + 0.01 I)^-1 x[j], with x = (k - mean of all k)^T P, k the cached key before position encoding and P a random matrix
/// [headSize, sketch] of normal numbers divided by sqrt(sketch), another one for every layer and KV head (Compactor, arXiv 2507.08143; NVIDIA/kvpress,
/// leverage_press). Tokens that are left out count nowhere and have 0.
/// </summary>
/// <remarks>
/// No pass. Costs a read of the cached keys and tokens * sketch * (headSize + sketch) multiplications per KV head, in parallel over layers; memory of a layer's
/// keys in float32 and tokens * sketch numbers per thread. Keys that the cache rounds are as it rounded them. Where rounding leaves the matrix no
/// factor, 0.01 grows tenfold until it has one, as in the reference.
/// </remarks>
public sealed record KeyLeverage : Statistic
{
    /// <summary>Columns of the sketch that the reference takes.</summary>
    public const int DefaultSketch = 48;

    /// <summary>The most columns of a sketch: more than a key has channels tell nothing new.</summary>
    public const int MaxSketch = 1024;

    /// <summary>Leverage in a random sketch.</summary>
    /// <param name="sketch">Columns of the random matrix, 1 to <see cref="MaxSketch"/>.</param>
    /// <param name="seed">Which matrices are drawn.</param>
    /// <param name="first">First positions that are left out, 0 and up.</param>
    /// <param name="last">Last positions that are left out, 0 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public KeyLeverage(int sketch = DefaultSketch, int seed = 0, int first = 0, int last = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(sketch, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(sketch, MaxSketch);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(last);
        Sketch = sketch;
        Seed = seed;
        First = first;
        Last = last;
    }

    /// <summary>Columns of the random matrix.</summary>
    public int Sketch { get; }

    /// <summary>Which matrices are drawn.</summary>
    public int Seed { get; }

    /// <summary>First positions that are left out.</summary>
    public int First { get; }

    /// <summary>Last positions that are left out.</summary>
    public int Last { get; }

    /// <inheritdoc/>
    public override string Name => "key leverage";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new LeverageScores(rows, this);

    private protected override string Describe() => $"key leverage({Sketch})";
}

/// <summary>Computes <see cref="KeyLeverage"/> from cached keys, a layer at a time.</summary>
/// <param name="rows">Reads the keys.</param>
/// <param name="statistic">What is wanted of them.</param>
internal sealed class LeverageScores(ICacheRows rows, KeyLeverage statistic) : ILayerStatistic
{
    private const double Jitter = 0.01;

    // Tokens whose sketch stays in a core's own cache while every pair of columns is gone through, and tokens whose keys stay in its first level.
    private const int Tile = 256;
    private const int Few = 16;

    private readonly RotaryEncoding _rotary = rows.Rotary;
    private readonly int _first = Math.Min(statistic.First, rows.Tokens);
    private readonly int _counted = Math.Max(0, rows.Tokens - Math.Min(statistic.First, rows.Tokens) - statistic.Last);

    /// <inheritdoc/>
    /// <exception cref="PlanException">The context is too long for a sketch.</exception>
    public void Write(int layer, Span<float> destination)
    {
        destination.Clear();
        if (_counted == 0)
        {
            return;
        }

        using Work work = NewWork(layer);
        using LayerRows keys = new(rows, RowKind.Keys, layer);
        TakeOutPositions(keys, rows.KvHeads(layer));
        for (int head = 0; head < rows.KvHeads(layer); head++)
        {
            Draw(layer, head, work.Random);
            Center(keys, head, work);
            Multiply(keys, head, work);
            Solve(work, destination.Slice(head * rows.Tokens + _first, _counted));
        }
    }

    /// <summary>Writes the random matrix of a KV head: normal numbers (Box and Muller 1958) that layer and head give, in whatever order they come.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="head">0 to kvHeads - 1.</param>
    /// <param name="matrix">Takes [sketch, headSize].</param>
    internal void Draw(int layer, int head, Span<float> matrix)
    {
        const double Unit = 1.0 / (1L << 53);
        ulong start = SplitMix64.Mix(SplitMix64.Mix(((ulong)(uint)statistic.Seed << 32) | (uint)layer) + (uint)head);
        double scale = 1 / Math.Sqrt(statistic.Sketch);
        for (int i = 0; i < matrix.Length; i++)
        {
            // Above 0, so that it has a logarithm.
            double length = ((SplitMix64.Mix(start + 2 * (ulong)i) >> 11) + 1) * Unit;
            double turn = (SplitMix64.Mix(start + 2 * (ulong)i + 1) >> 11) * Unit;
            matrix[i] = (float)(scale * Math.Sqrt(-2 * Math.Log(length)) * Math.Cos(2 * Math.PI * turn));
        }
    }

    private Work NewWork(int layer)
    {
        int size = rows.HeadSize(RowKind.Keys, layer);
        return (long)statistic.Sketch * (size + _counted) + 2 * size <= Array.MaxLength
            ? new Work(statistic.Sketch, size, _counted)
            : throw new PlanException(
                $"A sketch of {_counted} tokens x {statistic.Sketch} columns is too large to be made at once. Take fewer columns, or a shorter context.");
    }

    private void TakeOutPositions(LayerRows keys, int heads)
    {
        RotaryEncoding.Reversal back = _rotary.Back(_first);
        for (int token = _first; token < _first + _counted; token++)
        {
            for (int head = 0; head < heads; head++)
            {
                back.Apply(keys.Edit(head, token));
            }

            back.Next();
        }
    }

    // Takes the mean over the tokens from every key of a head.
    private void Center(LayerRows keys, int head, Work work)
    {
        // By tiles, so that few numbers are added to one that is much larger.
        Span<float> mean = work.Mean;
        Span<float> sum = work.Sum;
        mean.Clear();
        for (int start = 0; start < _counted; start += Tile)
        {
            sum.Clear();
            for (int token = start; token < Math.Min(start + Tile, _counted); token++)
            {
                TensorPrimitives.Add(sum, keys.Row(head, _first + token), sum);
            }

            TensorPrimitives.Divide(sum, _counted, sum);
            TensorPrimitives.Add(mean, sum, mean);
        }

        for (int token = 0; token < _counted; token++)
        {
            Span<float> key = keys.Edit(head, _first + token);
            TensorPrimitives.Subtract(key, mean, key);
        }
    }

    // The sketch of a head's keys, X^T, [sketch, tokens] of one tile after another.
    private void Multiply(LayerRows keys, int head, Work work)
    {
        ReadOnlySpan<float> random = work.Random;
        for (int start = 0; start < _counted; start += Tile)
        {
            int tokens = Math.Min(Tile, _counted - start);
            Span<float> tile = work.Tile(start, tokens);
            for (int few = 0; few < tokens; few += Few)
            {
                for (int column = 0; column < statistic.Sketch; column++)
                {
                    ReadOnlySpan<float> direction = random.Slice(column * keys.HeadSize, keys.HeadSize);
                    for (int token = few; token < Math.Min(few + Few, tokens); token++)
                    {
                        tile[column * tokens + token] = TensorPrimitives.Dot(keys.Row(head, _first + start + token), direction);
                    }
                }
            }
        }
    }

    // x^T M^-1 x is ||L^-1 x||^2 with LL^T = M = X^T X + jitter: sums of squares, no difference of large numbers.
    private void Solve(Work work, Span<float> leverage)
    {
        Square(work);
        if (!TensorPrimitives.IsFiniteAll<double>(work.Matrix))
        {
            leverage.Fill(float.NaN);
            return;
        }

        for (double jitter = Jitter; !Factor(work.Matrix, jitter, work.Lower); jitter *= 10)
        {
        }

        leverage.Clear();
        for (int start = 0; start < _counted; start += Tile)
        {
            int tokens = Math.Min(Tile, _counted - start);
            Span<float> tile = work.Tile(start, tokens);
            Span<float> part = leverage.Slice(start, tokens);
            for (int i = 0; i < statistic.Sketch; i++)
            {
                Span<float> column = tile.Slice(i * tokens, tokens);
                ReadOnlySpan<double> row = work.Lower.Slice(i * statistic.Sketch, i + 1);
                for (int j = 0; j < i; j++)
                {
                    TensorPrimitives.MultiplyAdd(tile.Slice(j * tokens, tokens), -(float)row[j], column, column);
                }

                TensorPrimitives.Divide(column, (float)row[i], column);
                TensorPrimitives.MultiplyAdd(column, column, part, part);
            }
        }
    }

    // X^T X, its lower triangle: products of a tile in float32, their sum in float64.
    private void Square(Work work)
    {
        Span<double> matrix = work.Matrix;
        matrix.Clear();
        for (int start = 0; start < _counted; start += Tile)
        {
            int tokens = Math.Min(Tile, _counted - start);
            ReadOnlySpan<float> tile = work.Tile(start, tokens);
            for (int i = 0; i < statistic.Sketch; i++)
            {
                ReadOnlySpan<float> column = tile.Slice(i * tokens, tokens);
                for (int j = 0; j <= i; j++)
                {
                    matrix[i * statistic.Sketch + j] += TensorPrimitives.Dot(column, tile.Slice(j * tokens, tokens));
                }
            }
        }
    }

    // The Cholesky factor of a matrix, of which the lower triangle is there, plus jitter; false: that is not positive definite.
    private bool Factor(ReadOnlySpan<double> matrix, double jitter, Span<double> factor)
    {
        int size = statistic.Sketch;
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < i; j++)
            {
                factor[i * size + j] = (matrix[i * size + j] - Product(factor, j)) / factor[j * size + j];
            }

            double square = matrix[i * size + i] + jitter - Product(factor, i);
            if (!(square > 0))
            {
                return false;
            }

            factor[i * size + i] = Math.Sqrt(square);

            double Product(ReadOnlySpan<double> rows, int j) => TensorPrimitives.Dot(rows.Slice(i * size, j), rows.Slice(j * size, j));
        }

        return true;
    }

    /// <summary>The memory of one layer; goes back when it is disposed.</summary>
    private sealed class Work(int sketch, int size, int tokens) : IDisposable
    {
        private readonly float[] _numbers = ArrayPool<float>.Shared.Rent(2 * size + sketch * (size + tokens));
        private readonly double[] _matrices = ArrayPool<double>.Shared.Rent(2 * sketch * sketch);

        // [headSize].
        public Span<float> Mean => _numbers.AsSpan(0, size);

        // [headSize].
        public Span<float> Sum => _numbers.AsSpan(size, size);

        // [sketch, headSize].
        public Span<float> Random => _numbers.AsSpan(2 * size, sketch * size);

        // [sketch, sketch].
        public Span<double> Matrix => _matrices.AsSpan(0, sketch * sketch);

        // [sketch, sketch].
        public Span<double> Lower => _matrices.AsSpan(sketch * sketch, sketch * sketch);

        // [sketch, count], of so many tokens from one on.
        public Span<float> Tile(int start, int count) => _numbers.AsSpan(2 * size + sketch * (size + start), sketch * count);

        public void Dispose()
        {
            ArrayPool<double>.Shared.Return(_matrices);
            ArrayPool<float>.Shared.Return(_numbers);
        }
    }
}
