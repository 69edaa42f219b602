using EdgeKV.Native;
using EdgeKV.Scoring;

namespace EdgeKV;

public sealed partial class EdgeSession
{
    // What was done to the cache so far: who reads its rows later must know that they are still those that were there. Guarded by _native.
    private long _changes;

    /// <summary>A reader of the rows that a request asks for; null: of none.</summary>
    private SessionRows? Rows(ScoreRequest request)
    {
        RowKind[] kinds = [.. request.Statistics.OfType<Scoring.CacheRows>().Select(rows => rows.Kind)];
        return kinds.Length == 0 ? null : new SessionRows(this, kinds, kinds.Contains(RowKind.Keys) ? Rotary(request) : null);
    }

    /// <summary>How the model turns its keys; null where that is not one rotation and the request can do without it.</summary>
    private RotaryEncoding? Rotary(ScoreRequest request)
    {
        try
        {
            return ReadRotary();
        }
        catch (UnsupportedModelException) when (!request.Statistics.Any(statistic => statistic is QueryMoments))
        {
            return null;
        }
    }

    private RotaryEncoding ReadRotary()
    {
        RotaryEncoding first = ReadRotary(0);
        for (int layer = 1; layer < Model.Layers; layer++)
        {
            RotaryEncoding other = ReadRotary(layer);
            if (other.Pairs != first.Pairs || !other.Scale.Equals(first.Scale) || !other.Frequencies.SequenceEqual(first.Frequencies))
            {
                throw new UnsupportedModelException(
                    $"{Model.Description} turns the keys of layer {layer} by other frequencies (RoPE) than those of layer 0, and policies that turn queries take one rotation.");
            }
        }

        return first;
    }

    private unsafe RotaryEncoding ReadRotary(int layer)
    {
        double[] frequencies = new double[Model.HeadSizeK / 2];
        NativeRopePairs pairs;
        nuint count;
        double scale;
        lock (_native)
        {
            fixed (double* pointer = frequencies)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_rope(Live, layer, out pairs, pointer, (nuint)frequencies.Length, out count, out scale),
                    nameof(NativeMethods.edgekv_rope));
            }
        }

        return new RotaryEncoding(
            frequencies[..(int)count], pairs == NativeRopePairs.Adjacent ? RotaryPairs.Adjacent : RotaryPairs.HalfSplit, scale);
    }

    /// <summary>Reads the rows of a full cache for as long as nothing is done to it.</summary>
    private sealed class SessionRows(EdgeSession session, RowKind[] kinds, RotaryEncoding? rotary) : ICacheRows
    {
        private readonly long _changes = session._changes;

        public int Layers => session.Model.Layers;

        public int KvHeads => session.Model.KvHeads;

        public int Tokens { get; } = session.Position;

        public RotaryEncoding? Rotary => rotary;

        public int HeadSize(RowKind kind) => !kinds.Contains(kind) ? 0 : kind == RowKind.Keys ? session.Model.HeadSizeK : session.Model.HeadSizeV;

        public unsafe void Read(RowKind kind, int layer, Span<float> rows)
        {
            // Another thread may dispose the session, and then its model, meanwhile.
            lock (session._native)
            {
                if (session._disposed || session._changes != _changes)
                {
                    throw new SessionStateException(
                        $"The {new Scoring.CacheRows(kind)} cannot be read any more: the session {(session._disposed ? "has been disposed" : "went on")} "
                        + "after it was scored. Plan before that, or score again.");
                }

                fixed (float* data = rows)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_rows(
                            session.Live,
                            kind == RowKind.Keys ? NativeRow.Keys : NativeRow.Values,
                            layer,
                            0,
                            Tokens,
                            data,
                            (nuint)rows.Length),
                        nameof(NativeMethods.edgekv_rows));
                }
            }
        }
    }
}
