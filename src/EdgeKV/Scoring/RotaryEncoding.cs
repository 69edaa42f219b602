namespace EdgeKV.Scoring;

/// <summary>Which channels of a key or query a rotary encoding turns together.</summary>
internal enum RotaryPairs
{
    /// <summary>Channels 2i and 2i + 1.</summary>
    Adjacent,

    /// <summary>Channels i and i + pairs.</summary>
    HalfSplit,
}

/// <summary>
/// Rotary position encoding (RoFormer, arXiv 2104.09864): at position p, pair i of a key's or query's channels is turned by p * f[i] radians
/// and multiplied by a scale. Channels that belong to no pair stay. Scaled variants (linear, YaRN, Llama 3) are other frequencies and another scale.
/// </summary>
internal sealed class RotaryEncoding
{
    private readonly double[] _frequencies;

    /// <summary>An encoding.</summary>
    /// <param name="frequencies">Radians per position of each pair, finite; none: positions are not encoded in the rows.</param>
    /// <param name="pairs">Which channels are a pair.</param>
    /// <param name="scale">What the turned channels are multiplied by, finite, above 0.</param>
    /// <exception cref="ArgumentException">A frequency is not a finite number.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="scale"/> is not above 0, or not finite.</exception>
    public RotaryEncoding(IEnumerable<double> frequencies, RotaryPairs pairs, double scale = 1)
    {
        ArgumentNullException.ThrowIfNull(frequencies);
        _frequencies = [.. frequencies];
        int broken = Array.FindIndex(_frequencies, frequency => !double.IsFinite(frequency));
        if (broken >= 0)
        {
            throw new ArgumentException($"Pair {broken} turns by {_frequencies[broken]} a position: not a finite number.", nameof(frequencies));
        }

        Scale = double.IsFinite(scale) && scale > 0
            ? scale
            : throw new ArgumentOutOfRangeException(nameof(scale), scale, "A scale is a finite number above 0.");
        Pairs = pairs;
    }

    /// <summary>Radians per position of each pair.</summary>
    public IReadOnlyList<double> Frequencies => _frequencies;

    /// <summary>Which channels are a pair.</summary>
    public RotaryPairs Pairs { get; }

    /// <summary>What the turned channels are multiplied by.</summary>
    public double Scale { get; }

    /// <summary>The mean of the rotations at some positions, which is a linear map like each of them.</summary>
    /// <param name="first">The first position.</param>
    /// <param name="count">Positions from it on, 1 and up.</param>
    internal Rotation Mean(int first, int count)
    {
        float[] cosines = new float[_frequencies.Length];
        float[] sines = new float[_frequencies.Length];
        for (int pair = 0; pair < _frequencies.Length; pair++)
        {
            double cosine = 0;
            double sine = 0;
            for (int position = first; position < first + count; position++)
            {
                (double sin, double cos) = Math.SinCos(position * _frequencies[pair]);
                cosine += cos;
                sine += sin;
            }

            cosines[pair] = (float)(Scale * cosine / count);
            sines[pair] = (float)(Scale * sine / count);
        }

        return new Rotation(cosines, sines, Pairs);
    }

    /// <summary>Takes the encoding out of rows of one position after another.</summary>
    /// <param name="position">The first position.</param>
    internal Reversal Back(int position) => new(this, position);

    /// <summary>
    /// The rotation back from a position, and from the next ones. Each is made of the one before in float64: a million positions on it is still more exact than
    /// float32 can say.
    /// </summary>
    internal sealed class Reversal
    {
        private readonly Rotation _rotation;
        private readonly float[] _cosines;
        private readonly float[] _sines;
        private readonly (double Cosine, double Sine)[] _steps;
        private readonly (double Cosine, double Sine)[] _turns;
        private readonly double _scale;

        public Reversal(RotaryEncoding encoding, int position)
        {
            int pairs = encoding._frequencies.Length;
            _scale = encoding.Scale;
            _steps = [.. encoding._frequencies.Select(frequency => (Math.Cos(frequency), Math.Sin(-frequency)))];
            _turns = [.. encoding._frequencies.Select(frequency => (Math.Cos(position * frequency), Math.Sin(-position * frequency)))];
            _cosines = new float[pairs];
            _sines = new float[pairs];
            _rotation = new Rotation(_cosines, _sines, encoding.Pairs);
            Take();
        }

        /// <summary>Takes the encoding out of a row of this position, in place.</summary>
        /// <param name="row">At least two channels a pair.</param>
        public void Apply(Span<float> row) => _rotation.Apply(row);

        /// <summary>Goes on to the next position.</summary>
        public void Next()
        {
            for (int pair = 0; pair < _turns.Length; pair++)
            {
                (double cosine, double sine) = _turns[pair];
                (double stepCosine, double stepSine) = _steps[pair];
                _turns[pair] = (cosine * stepCosine - sine * stepSine, sine * stepCosine + cosine * stepSine);
            }

            Take();
        }

        private void Take()
        {
            for (int pair = 0; pair < _turns.Length; pair++)
            {
                _cosines[pair] = (float)(_turns[pair].Cosine / _scale);
                _sines[pair] = (float)(_turns[pair].Sine / _scale);
            }
        }
    }

    /// <summary>A linear map that turns and stretches every pair of channels by itself.</summary>
    internal readonly struct Rotation(float[] cosines, float[] sines, RotaryPairs pairs)
    {
        /// <summary>Makes Qx of x, in place.</summary>
        /// <param name="vector">x, at least two channels a pair.</param>
        public void Apply(Span<float> vector)
        {
            for (int pair = 0; pair < cosines.Length; pair++)
            {
                (int first, int second) = Channels(pair);
                float x = vector[first];
                float y = vector[second];
                vector[first] = cosines[pair] * x - sines[pair] * y;
                vector[second] = sines[pair] * x + cosines[pair] * y;
            }
        }

        /// <summary>Makes QAQ^T of a matrix A, in place.</summary>
        /// <param name="matrix">A, [size, size].</param>
        /// <param name="size">At least two channels a pair.</param>
        public void ApplyToBothSides(Span<float> matrix, int size)
        {
            for (int row = 0; row < size; row++)
            {
                Apply(matrix.Slice(row * size, size));
            }

            for (int pair = 0; pair < cosines.Length; pair++)
            {
                (int first, int second) = Channels(pair);
                Span<float> one = matrix.Slice(first * size, size);
                Span<float> other = matrix.Slice(second * size, size);
                for (int column = 0; column < size; column++)
                {
                    float x = one[column];
                    float y = other[column];
                    one[column] = cosines[pair] * x - sines[pair] * y;
                    other[column] = sines[pair] * x + cosines[pair] * y;
                }
            }
        }

        private (int First, int Second) Channels(int pair) =>
            pairs == RotaryPairs.Adjacent ? (2 * pair, 2 * pair + 1) : (pair, pair + cosines.Length);
    }
}
