using EdgeKV.Models;

namespace EdgeKV.Native.Tests;

public sealed class ModelLocatorTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-models-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Find_PathGiven_TakesItBeforeAllElse()
    {
        string asked = Touch("asked.gguf");

        Assert.Equal(asked, ModelLocator.Find(asked, Touch("variable.gguf"), [_folder], _folder));
    }

    [Fact]
    public void Find_VariableSet_TakesItBeforeTheFolders()
    {
        Touch("models", "a.gguf");
        string variable = Touch("variable.gguf");

        Assert.Equal(variable, ModelLocator.Find(null, variable, [_folder], _folder));
    }

    [Fact]
    public void Find_Folders_WalksUpAndTakesTheFirstName()
    {
        Touch("models", "b.gguf");
        string first = Touch("models", "a.gguf");
        Touch("models", "0.txt");
        Touch("user", "u.gguf");
        string start = Directory.CreateDirectory(Path.Combine(_folder, "one", "two")).FullName;

        Assert.Equal(first, ModelLocator.Find(null, null, [start], Path.Combine(_folder, "user")));
    }

    [Fact]
    public void Find_NoModelsFolder_TakesTheUsers()
    {
        string user = Touch("user", "u.gguf");
        string start = Directory.CreateDirectory(Path.Combine(_folder, "one")).FullName;

        Assert.Equal(user, ModelLocator.Find(null, string.Empty, [start], Path.Combine(_folder, "user")));
    }

    [Fact]
    public void Find_AskedForButMissing_NamesItAndTakesNoOther()
    {
        Touch("models", "a.gguf");
        string missing = Path.Combine(_folder, "missing.gguf");

        Assert.Contains(
            missing, Assert.Throws<ModelException>(() => ModelLocator.Find(missing, null, [_folder], _folder)).Message, StringComparison.Ordinal);
        ModelException variable = Assert.Throws<ModelException>(() => ModelLocator.Find(null, missing, [_folder], _folder));
        Assert.Contains(ModelLocator.Variable, variable.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Find_Nowhere_ListsWhereItLooked()
    {
        string start = Directory.CreateDirectory(Path.Combine(_folder, "one")).FullName;
        string user = Path.Combine(_folder, "user");

        ModelException exception = Assert.Throws<ModelException>(() => ModelLocator.Find(null, null, [start], user));

        Assert.Contains(Path.Combine(start, "models"), exception.Message, StringComparison.Ordinal);
        Assert.Contains(user, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UserFolder_DataHomeSet_LiesThere()
    {
        Assert.Equal(Path.Combine("/data", "edgekv", "models"), LookupFolders.User("models", "/data", "/home/a"));
        Assert.Equal(Path.Combine("/home/a", ".local", "share", "edgekv", "profiles"), LookupFolders.User("profiles", null, "/home/a"));
    }

    private string Touch(params string[] parts)
    {
        string path = Path.Combine([_folder, .. parts]);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, string.Empty);
        return path;
    }
}
