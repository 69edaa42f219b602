using EdgeKV.Evaluation;
using EdgeKV.Profiles;

namespace EdgeKV.Cli.Outputs;

/// <summary>A kind of file that a command writes.</summary>
/// <param name="Name">What messages call it.</param>
/// <param name="Is">Whether a file is one, by its content.</param>
internal sealed record OutputKind(string Name, Func<string, bool> Is)
{
    public static OutputKind Profile { get; } = new("an EdgeKV profile", ScoreProfile.IsProfile);

    public static OutputKind Bench { get; } = new("a bench's JSON", BenchJson.IsReport);

    public static OutputKind Report { get; } = new("a file of an EdgeKV report", ReportWriter.IsReport);
}
