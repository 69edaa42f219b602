namespace EdgeKV.Models;

/// <summary>A GPU backend that lies beside the program and is not in use.</summary>
/// <param name="Path">Its file.</param>
/// <param name="Reason">Why: what is missing, or that it was not chosen.</param>
public sealed record UnusedBackend(string Path, string Reason);
