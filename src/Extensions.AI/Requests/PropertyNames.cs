namespace EdgeKV.Extensions.AI.Requests;

/// <summary>Names in additional properties.</summary>
internal static class PropertyNames
{
    public const string Document = "edgekv.document";
    public const string Store = "edgekv.store";
    public const string Compression = "edgekv.compression";
    public const string MinP = "min_p";
}
