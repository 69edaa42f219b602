using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>Sums the queries of a pass and makes moments of them. Moments of several first tokens share the pass: sums up to a token are taken from the whole.</summary>
internal sealed class QuerySums
{
    private readonly IScoreContext _owner;
    private readonly IReadOnlyList<QueryMoments> _moments;
    private readonly int _context;
    private readonly int _first;
    private readonly CacheGeometry _geometry;
    private readonly Dictionary<int, double[][]> _before = [];

    public QuerySums(IScoreContext context, IReadOnlyList<QueryMoments> moments)
    {
        _owner = context;
        _moments = moments;
        _context = context.Position;
        _first = moments.Min(moment => moment.First);
        _geometry = context.Model.Geometry;
        foreach (QueryMoments moment in moments)
        {
            EnsureLeft(moment, _context);
        }

        // From the beginning of a batch on, rows come out as they were.
        Start = _first - _first % context.BatchSize;
        Stops = [.. moments.Select(moment => moment.First).Where(first => first > _first)];
    }

    /// <summary>Refuses moments that leave out every token of a context.</summary>
    /// <exception cref="PlanException">They do.</exception>
    public static void EnsureLeft(QueryMoments moments, int tokens)
    {
        if (moments.First < 0 || moments.First >= tokens)
        {
            throw new PlanException(
                $"The {moments} leave out the first {moments.First} tokens, and the context has {tokens}. Leave out fewer, or read a longer context.");
        }
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
            _before[position] = [.. Enumerable.Range(0, _geometry.Layers.Count).Select(Read)];
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
            long length = _geometry.Layers.Sum(layer => layer.Heads * moment.RowLength(layer, _context));
            values.Add(moment, NativeScoreBuffer.Allocate(length, out float* buffer), _context - moment.First);
            data[i] = (nint)buffer;
        }

        long[] starts = new long[data.Length];
        for (int layer = 0; layer < _geometry.Layers.Count; layer++)
        {
            double[] all = Read(layer);
            for (int i = 0; i < data.Length; i++)
            {
                QueryMoments moment = _moments[i];
                int length = checked((int)(_geometry.Heads[layer] * moment.RowLength(_geometry.Layers[layer], _context)));
                double[]? before = _before.TryGetValue(moment.First, out double[][]? sums) ? sums[layer] : null;
                Write(moment, _geometry.Layers[layer], all, before, new Span<float>((float*)data[i] + starts[i], length));
                starts[i] += length;
            }
        }
    }

    private void Write(QueryMoments moment, AttentionLayer layer, double[] all, double[]? before, Span<float> destination)
    {
        (int heads, int size) = (layer.Heads, layer.HeadSizeK);
        double count = _context - moment.First;
        for (int head = 0; head < heads; head++)
        {
            for (int i = 0; i < size; i++)
            {
                double mean = Mean(head * size + i);
                if (moment.Moment == QueryMoment.Mean)
                {
                    destination[head * size + i] = (float)mean;
                    continue;
                }

                int row = (head * size + i) * size;
                for (int j = 0; j < size; j++)
                {
                    destination[row + j] = (float)(Mean(heads * size + row + j) - mean * Mean(head * size + j));
                }
            }
        }

        double Mean(int index) => (all[index] - (before?[index] ?? 0)) / count;
    }

    // The sums of a layer so far: of queries, [heads, size], and of their products, [heads, size, size].
    private unsafe double[] Read(int layer)
    {
        (int heads, int size) = (_geometry.Heads[layer], _geometry.Layers[layer].HeadSizeK);
        double[] sums = new double[heads * size * (1 + size)];
        fixed (double* pointer = sums)
        {
            Get(NativeQuerySum.Queries, pointer, heads * size);
            Get(NativeQuerySum.QueryProducts, pointer + heads * size, heads * size * size);
        }

        return sums;

        void Get(NativeQuerySum which, double* to, int count) => NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_queries(_owner.Handle, which, layer, to, (nuint)count), nameof(NativeMethods.edgekv_queries));
    }
}
