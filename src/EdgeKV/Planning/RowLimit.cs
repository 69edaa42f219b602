using EdgeKV.Models;

namespace EdgeKV.Planning;

/// <summary>
/// What a <see cref="Budget"/> comes to for one context: units that rows may take together, and how many units a row of each layer takes. Where all rows
/// count alike a row is one unit; they do not where a budget is in bytes and layers have other head sizes, or where rows are composite and layers have
/// other numbers of KV heads.
/// </summary>
public sealed class RowLimit
{
    private readonly long[] _perRow;
    private readonly HeadLayout _kvHeads;
    private readonly bool _composite;
    private readonly long _unitSize;
    private readonly string _unitName;

    internal RowLimit(HeadLayout kvHeads, long units, long[] perRow, bool composite, long unitSize, string unitName)
    {
        _kvHeads = kvHeads;
        _perRow = perRow;
        _composite = composite;
        _unitSize = unitSize;
        _unitName = unitName;
        Units = units;
    }

    /// <summary>Units that may be taken, 0 and up.</summary>
    public long Units { get; }

    /// <summary>Units that all rows of the context take, by the token.</summary>
    internal long PerToken
    {
        get
        {
            long sum = 0;
            for (int layer = 0; layer < _perRow.Length; layer++)
            {
                sum += _perRow[layer] * (_composite ? 1 : _kvHeads[layer]);
            }

            return sum;
        }
    }

    /// <summary>The most rows that the units can come to, of the layers whose rows take least.</summary>
    internal long MostRows => Units / _perRow.Min();

    /// <summary>The same where a KV head keeps a multiple of rows or all that there are: none where not even one block fits.</summary>
    internal long MostRowsInBlocks(int multiple, int tokens) => MostRows < Math.Min(multiple, tokens) ? 0 : MostRows;

    /// <summary>Units that a row of a layer takes, 1 and up: a row of one KV head, or a composite row, as was asked for.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    public long PerRow(int layer) => _perRow[layer];

    /// <summary>Units that rows take together.</summary>
    /// <param name="counts">Rows of every KV head, layer after layer; of a limit of composite rows equally many within a layer.</param>
    public long Of(ReadOnlySpan<int> counts)
    {
        long units = 0;
        for (int layer = 0; layer < _perRow.Length; layer++)
        {
            foreach (int rows in counts.Slice(_kvHeads.First(layer), _composite ? 1 : _kvHeads[layer]))
            {
                units = checked(units + rows * _perRow[layer]);
            }
        }

        return units;
    }

    /// <summary>For example "300 rows", over all layers and KV heads, or "67108864 bytes".</summary>
    public override string ToString() => Text(Units);

    /// <summary>A limit of other units, rows taking what they take of this one.</summary>
    internal RowLimit WithUnits(long units) => new(_kvHeads, units, _perRow, _composite, _unitSize, _unitName);

    /// <summary>Units as a person counts them.</summary>
    internal string Text(long units) => FormattableString.Invariant($"{units * _unitSize} {_unitName}");
}
