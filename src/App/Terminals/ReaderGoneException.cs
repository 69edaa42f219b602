namespace EdgeKV.Cli.Terminals;

/// <summary>Whoever read standard output has closed it, as head does when it has seen enough.</summary>
internal sealed class ReaderGoneException() : Exception("The reader of standard output went away.");
