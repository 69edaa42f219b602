using EdgeKV.Profiles;

namespace EdgeKV.Tests.Profiles;

public sealed class ProfileLocatorTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-locator-").FullName;

    private string Model => Path.Combine(_folder, "files", "Some.Model.Q4_1.gguf");

    private string Start => Path.Combine(_folder, "checkout", "one", "two");

    private string User => Path.Combine(_folder, "user");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Find_ProfilesInAllPlaces_TakesTheNearest()
    {
        string[] places =
        [
            Touch("files", "Some.Model.Q4_1.edgekv"),
            Touch("checkout", "one", "models", "Some.Model.Q4_1.edgekv"),
            Touch("checkout", "models", "Some.Model.Q4_1.edgekv"),
            Touch("user", "Some.Model.Q4_1.edgekv"),
        ];

        foreach (string place in places)
        {
            Assert.Equal(place, Find());
            File.Delete(place);
        }

        Assert.Null(Find());
    }

    [Fact]
    public void Find_OtherNames_AreNotTaken()
    {
        Touch("files", "Some.Model.edgekv");
        Touch("files", "Some.Model.Q4_1.gguf.edgekv");
        Touch("checkout", "models", "Other.edgekv");
        Touch("checkout", "Some.Model.Q4_1.edgekv");

        Assert.Null(Find());
    }

    [Theory]
    [InlineData("m.GGUF", "m.edgekv")]
    [InlineData("m.bin", "m.bin.edgekv")]
    [InlineData("m", "m.edgekv")]
    public void DefaultPath_AnyModelName_LiesBesideItAndIsFound(string model, string expected)
    {
        string path = Path.Combine(_folder, model);

        string profile = ProfileLocator.DefaultPath(path, User);

        Assert.Equal(Path.Combine(_folder, expected), profile);
        Assert.Empty(Directory.GetFiles(_folder));
        Touch(expected);
        Assert.Equal(profile, ProfileLocator.Find(path, [Start], User));
    }

    [Fact]
    public void DefaultPath_FolderThatCannotBeWritten_IsTheUsersAndIsFound()
    {
        // Neither can a folder that is not there, whoever runs this.
        string model = Path.Combine(_folder, "not there", "m.gguf");

        string profile = ProfileLocator.DefaultPath(model, User);

        Assert.Equal(Path.Combine(User, "m.edgekv"), profile);
        Touch("user", "m.edgekv");
        Assert.Equal(profile, ProfileLocator.Find(model, [Start], User));
    }

    private string? Find() => ProfileLocator.Find(Model, [Start], User);

    private string Touch(params string[] parts)
    {
        string path = Path.Combine([_folder, .. parts]);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, string.Empty);
        return path;
    }
}
