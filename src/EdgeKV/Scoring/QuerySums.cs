using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>Sums the queries of a pass and makes moments of them. Moments of several first tokens share the pass: sums up to a token are taken from the whole.</summary>
internal sealed class QuerySums
{
    private readonly IScoreContext _owner;
    private readonly IReadOnlyList<QueryMoments> _moments;
    private readonly int _context;
    private readonly int _first;
    private readonly int _heads;
    private readonly int _size;
    private readonly Dictionary<int, double[][]> _before = [];

    public QuerySums(IScoreContext context, IReadOnlyList<QueryMoments> moments)
    {
        _owner = context;
        _moments = moments;
        _context = context.Position;
        _first = moments.Min(moment => moment.First);
        _heads = context.Model.Heads;
        _size = context.Model.HeadSizeK;
        if (moments.FirstOrDefault(moment => moment.First < 0 || moment.First >= _context) is { } none)
        {
            throw new PlanException(
                $"The {none} leave out the first {none.First} tokens, and the context has {_context}. Leave out fewer, or read a longer context.");
        }

        // From the beginning of a batch on, rows come out as they were.
        Start = _first - _first % context.BatchSize;
        Stops = [.. moments.Select(moment => moment.First).Where(first => first > _first)];
    }

    /// <summary>The first token to be fed again.</summary>
    public int Start { get; }

    /// <summary>Tokens before which the sums have to be looked at.</summary>
    public IReadOnlyList<int> Stops { get; }

    public void Begin()
    {
        NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_queries_keep(_owner.Handle, keep: true, _first), nameof(NativeMethods.edgekv_queries_keep));
    }

    public void Reached(int position)
    {
        if (Stops.Contains(position))
        {
            _before[position] = [.. Enumerable.Range(0, _owner.Model.Layers).Select(Read)];
        }
    }

    /// <summary>Gives back the memory that the sums took. Should that fail, the next step says so.</summary>
    public void End() => _ = NativeMethods.edgekv_queries_keep(_owner.Handle, keep: false, 0);

    public unsafe void AddTo(ScoreValues values)
    {
        nint[] data = new nint[_moments.Count];
        for (int i = 0; i < data.Length; i++)
        {
            QueryMoments moment = _moments[i];
            long length = (long)_owner.Model.Layers * _heads * RowLength(moment);
            values.Add(moment, NativeScoreBuffer.Allocate(length, out float* buffer), _context - moment.First);
            data[i] = (nint)buffer;
        }

        for (int layer = 0; layer < _owner.Model.Layers; layer++)
        {
            double[] all = Read(layer);
            for (int i = 0; i < data.Length; i++)
            {
                QueryMoments moment = _moments[i];
                int length = _heads * RowLength(moment);
                double[]? before = _before.TryGetValue(moment.First, out double[][]? sums) ? sums[layer] : null;
                Write(moment, all, before, new Span<float>((float*)data[i] + (long)layer * length, length));
            }
        }
    }

    private int RowLength(QueryMoments moment) => moment.Moment == QueryMoment.Mean ? _size : _size * _size;

    private void Write(QueryMoments moment, double[] all, double[]? before, Span<float> destination)
    {
        double count = _context - moment.First;
        for (int head = 0; head < _heads; head++)
        {
            for (int i = 0; i < _size; i++)
            {
                double mean = Mean(head * _size + i);
                if (moment.Moment == QueryMoment.Mean)
                {
                    destination[head * _size + i] = (float)mean;
                    continue;
                }

                int row = (head * _size + i) * _size;
                for (int j = 0; j < _size; j++)
                {
                    destination[row + j] = (float)(Mean(_heads * _size + row + j) - mean * Mean(head * _size + j));
                }
            }
        }

        double Mean(int index) => (all[index] - (before?[index] ?? 0)) / count;
    }

    // The sums of a layer so far: of queries, [heads, size], and of their products, [heads, size, size].
    private unsafe double[] Read(int layer)
    {
        double[] sums = new double[_heads * _size * (1 + _size)];
        fixed (double* pointer = sums)
        {
            Get(NativeQuerySum.Queries, pointer, _heads * _size);
            Get(NativeQuerySum.QueryProducts, pointer + _heads * _size, _heads * _size * _size);
        }

        return sums;

        void Get(NativeQuerySum which, double* to, int count) => NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_queries(_owner.Handle, which, layer, to, (nuint)count), nameof(NativeMethods.edgekv_queries));
    }
}
