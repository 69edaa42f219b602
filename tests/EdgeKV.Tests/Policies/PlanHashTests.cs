using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Tests.Policies;

/// <summary>
/// The plans of all policies are what they were when the files of hashes were written. A change that means to change plans writes its new hashes into
/// these files and says why.
/// </summary>
public sealed class PlanHashTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-plans-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("niah_single_2_0")]
    [InlineData("niah_multivalue_2")]
    public void Plan_BundledGoldens_HasTheRecordedHash(string prompt) =>
        AssertRecorded(prompt, Path.Combine(AppContext.BaseDirectory, "Goldens", prompt), "bundled");

    [Theory]
    [InlineData("niah_multikey_1_1")]
    [InlineData("niah_multivalue_2")]
    [InlineData("vt_0")]
    public void Plan_GoldensBesideTheCheckout_HasTheRecordedHash(string prompt)
    {
        string? folder = Places.Shared is { } shared ? Path.Combine(shared, "goldens", prompt) : null;
        Assert.SkipUnless(Directory.Exists(folder), Golden.Missing);

        AssertRecorded(prompt, folder!, "shared");
    }

    private void AssertRecorded(string prompt, string goldens, string place)
    {
        using PlanHashes hashes = new(goldens, Path.Combine(_folder, "drawn.edgekv"));

        string[] actual = [.. hashes.Lines()];

        string[] recorded = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "PlanHashes", $"{prompt}.{place}.txt"));
        Assert.Equal(recorded.Order(StringComparer.Ordinal), actual.Order(StringComparer.Ordinal));
    }
}
