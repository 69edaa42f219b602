using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

/// <summary>Cached rows from arrays, [layers, tokens, kvHeads, headSize]; null: none of that kind.</summary>
internal sealed class TestRows(int layers, int kvHeads, int tokens, float[]? keys, float[]? values = null) : ICacheRows
{
    public int Layers => layers;

    public int KvHeads => kvHeads;

    public int Tokens => tokens;

    public RotaryEncoding? Rotary { get; init; }

    public int HeadSize(RowKind kind) => Of(kind)?.Length / (layers * tokens * kvHeads) ?? 0;

    public void Read(RowKind kind, int layer, Span<float> rows) =>
        Of(kind)!.AsSpan(layer * rows.Length, rows.Length).CopyTo(rows);

    public float[] Row(RowKind kind, int layer, int kvHead, int token)
    {
        int size = HeadSize(kind);
        return Of(kind)!.AsSpan(((layer * tokens + token) * kvHeads + kvHead) * size, size).ToArray();
    }

    private float[]? Of(RowKind kind) => kind == RowKind.Keys ? keys : values;
}
