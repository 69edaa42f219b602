using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Tests that run a model: one at a time, for the engine's threads spin on every core.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class EngineCollection
{
    public const string Name = "engine";

    /// <summary>Skips the test where the native library has not been built.</summary>
    public static void Require()
    {
        try
        {
            using EdgeModel model = EdgeModel.Load(Places.Model);
        }
        catch (NativeLibraryException e)
        {
            Assert.Skip(e.Message);
        }
    }
}
