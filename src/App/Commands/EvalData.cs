using EdgeKV.Evaluation;
using EdgeKV.Files;
using EdgeKV.Models;

namespace EdgeKV.Cli.Commands;

/// <summary>Reads and makes the samples of <c>eval</c>.</summary>
internal static class EvalData
{
    /// <summary>The samples, and a hash of all that was read: <c>--samples</c> may change when a run goes on. What is generated follows from its options and its haystack.</summary>
    /// <exception cref="DatasetException">Something is wrong with the data, or two samples have one name.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static async Task<(IReadOnlyList<EvalSample> Samples, string Hash)> ReadAsync(
        string[] paths, SyntheticOptions? synthetic, EdgeModel model, int count, int seed, CancellationToken ct)
    {
        // A pipe may keep the work from ending, and the model is freed soon after a cancellation: it is used through this alone.
        using TokenCounter counter = new(text => model.Tokenize(text).Length, ct);
        return await InputFile.WaitAsync(() => Read(paths, synthetic, counter.Count, count, seed), ct);
    }

    private static (IReadOnlyList<EvalSample> Samples, string Hash) Read(
        string[] paths, SyntheticOptions? synthetic, Func<string, int> countTokens, int count, int seed)
    {
        EvalSample[] read = [.. paths.SelectMany(path => Datasets.Read(path, countTokens))];
        IReadOnlyList<EvalSample> made = synthetic is null ? [] : SyntheticData.Generate(synthetic, countTokens);
        Datasets.EnsureDistinct([.. read, .. made]);
        return ([.. SampleChoice.Take(read, count, seed), .. made], Datasets.Sha256(read, synthetic is null ? null : Generated(synthetic)));
    }

    private static string Generated(SyntheticOptions synthetic) => string.Join(
        '\n',
        [string.Join(' ', synthetic.Tasks), string.Join(' ', synthetic.Lengths), synthetic.HaystackPath is { } haystack ? SyntheticData.ReadHaystack(haystack) : string.Empty]);
}
