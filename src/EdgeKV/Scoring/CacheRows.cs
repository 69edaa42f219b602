using EdgeKV.Models;
using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Scoring;

/// <summary>The rows of a full cache, as long as nothing is done to it. Calls may come from several threads that the holder of the context's lock started.</summary>
/// <param name="model">The model.</param>
/// <param name="handle">The context.</param>
/// <param name="tokens">Context tokens.</param>
internal sealed unsafe class CacheRows(EdgeModel model, SafeLLamaContextHandle handle, int tokens) : ICacheRows
{
    private readonly SafeLLamaContextHandle _handle = handle;
    private readonly Lock _gate = new();
    private readonly int _holder = Environment.CurrentManagedThreadId;

    public CacheGeometry Geometry => model.Geometry;

    public int Tokens => tokens;

    public RotaryEncoding Rotary => NativeRotary.OfAllLayers(model, _handle);

    public void Read(RowKind kind, int layer, Span<float> rows)
    {
        using (new Guest(this))
        {
            fixed (float* data = rows)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_rows(_handle, Native(kind), layer, 0, tokens, data, (nuint)rows.Length), nameof(NativeMethods.edgekv_rows));
            }
        }
    }

    public void Apply(RowForm form, RowKind kind, int layer, ReadOnlySpan<float> factors, Span<float> results)
    {
        NativeForm native = form switch
        {
            RowForm.Linear => NativeForm.Linear,
            RowForm.Quadratic => NativeForm.Quadratic,
            _ => NativeForm.Squares,
        };
        using (new Guest(this))
        {
            fixed (float* given = factors, written = results)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_row_forms(
                        _handle,
                        Native(kind),
                        layer,
                        native,
                        tokens,
                        results.Length / (Geometry.KvHeads[layer] * tokens),
                        given,
                        (nuint)factors.Length,
                        written,
                        (nuint)results.Length),
                    nameof(NativeMethods.edgekv_row_forms));
            }
        }
    }

    public void Sum(RowMoment moment, RowKind kind, int layer, ReadOnlySpan<float> weights, Span<double> sums)
    {
        using (new Guest(this))
        {
            fixed (float* given = weights)
            fixed (double* written = sums)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_row_moments(
                        _handle,
                        Native(kind),
                        layer,
                        moment == RowMoment.First ? NativeMoment.First : NativeMoment.Second,
                        tokens,
                        weights.Length / (Geometry.KvHeads[layer] * tokens),
                        given,
                        (nuint)weights.Length,
                        written,
                        (nuint)sums.Length),
                    nameof(NativeMethods.edgekv_row_moments));
            }
        }
    }

    private static NativeRow Native(RowKind kind) => kind == RowKind.Keys ? NativeRow.Keys : NativeRow.Values;

    // Worker threads of the thread that holds the context's lock call one at a time and take no lock of their own.
    private readonly ref struct Guest
    {
        private readonly CacheRows _rows;
        private readonly bool _isGuest;

        public Guest(CacheRows rows)
        {
            _rows = rows;
            _isGuest = Environment.CurrentManagedThreadId != rows._holder;
            rows._gate.Enter();
            if (_isGuest)
            {
                NativeMethods.edgekv_lock_guest(rows._handle, guest: true);
            }
        }

        public void Dispose()
        {
            if (_isGuest)
            {
                NativeMethods.edgekv_lock_guest(_rows._handle, guest: false);
            }

            _rows._gate.Exit();
        }
    }
}
