using EdgeKV.Native;
using EdgeKV.Numerics;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    /// <summary>The rows of the full cache, as long as nothing is done to it.</summary>
    internal ICacheRows CachedRows => new SessionRows(this);

    /// <summary>A statistic that is made of cached rows, [layers, heads or KV heads, context].</summary>
    private unsafe NativeScoreBuffer ReadLayers(Statistic statistic, AttentionScores seen, CancellationToken cancellation)
    {
        ILayerStatistic layers = ILayerStatistic.Of(statistic, CachedRows, seen);
        int length = checked((statistic.IsPerAttentionHead ? Model.Heads : Model.KvHeads) * Position);
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate((long)Model.Layers * length, out float* data);
        try
        {
            LayerLoop.ForEach(Model.Layers, layer =>
            {
                cancellation.ThrowIfCancellationRequested();
                layers.Write(layer, new Span<float>(data + (long)layer * length, length));
            });
            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
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

    private sealed class SessionRows(EdgeSession session) : ICacheRows
    {
        public int Layers => session.Model.Layers;

        public int KvHeads => session.Model.KvHeads;

        public int Tokens { get; } = session.Position;

        public RotaryEncoding Rotary => session.ReadRotary();

        public int HeadSize(RowKind kind) => kind == RowKind.Keys ? session.Model.HeadSizeK : session.Model.HeadSizeV;

        public unsafe void Read(RowKind kind, int layer, Span<float> rows)
        {
            lock (session._native)
            {
                fixed (float* data = rows)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_rows(session.Live, Native(kind), layer, 0, Tokens, data, (nuint)rows.Length),
                        nameof(NativeMethods.edgekv_rows));
                }
            }
        }

        public unsafe void Apply(RowForm form, RowKind kind, int layer, ReadOnlySpan<float> factors, Span<float> results)
        {
            NativeForm native = form switch
            {
                RowForm.Linear => NativeForm.Linear,
                RowForm.Quadratic => NativeForm.Quadratic,
                _ => NativeForm.Squares,
            };
            lock (session._native)
            {
                fixed (float* given = factors, written = results)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_row_forms(
                            session.Live,
                            Native(kind),
                            layer,
                            native,
                            Tokens,
                            results.Length / (KvHeads * Tokens),
                            given,
                            (nuint)factors.Length,
                            written,
                            (nuint)results.Length),
                        nameof(NativeMethods.edgekv_row_forms));
                }
            }
        }

        public unsafe void Sum(RowMoment moment, RowKind kind, int layer, ReadOnlySpan<float> weights, Span<double> sums)
        {
            lock (session._native)
            {
                fixed (float* given = weights)
                fixed (double* written = sums)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_row_moments(
                            session.Live,
                            Native(kind),
                            layer,
                            moment == RowMoment.First ? NativeMoment.First : NativeMoment.Second,
                            Tokens,
                            weights.Length / (KvHeads * Tokens),
                            given,
                            (nuint)weights.Length,
                            written,
                            (nuint)sums.Length),
                        nameof(NativeMethods.edgekv_row_moments));
                }
            }
        }

        private static NativeRow Native(RowKind kind) => kind == RowKind.Keys ? NativeRow.Keys : NativeRow.Values;
    }
}
