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
        return kinds.Length == 0 ? null : new SessionRows(this, kinds);
    }

    /// <summary>Reads the rows of a full cache for as long as nothing is done to it.</summary>
    private sealed class SessionRows(EdgeSession session, RowKind[] kinds) : ICacheRows
    {
        private readonly long _changes = session._changes;

        public int Layers => session.Model.Layers;

        public int KvHeads => session.Model.KvHeads;

        public int Tokens { get; } = session.Position;

        public RotaryEncoding? Rotary => null;

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
