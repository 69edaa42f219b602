using EdgeKV.Extensions.AI;

namespace EdgeKV.Tests.Architecture;

/// <summary>Every folder of src/Extensions.AI is a namespace and uses only the folders before it.</summary>
public class ChatClientLayerTests
{
    private const string Client = "";

    private static readonly Layers Layers = new(
        typeof(EdgeChatClient).Assembly, "EdgeKV.Extensions.AI", "src/Extensions.AI", ["Requests", "Contexts", "Answers", Client]);

    [Fact]
    public void Uses_EveryType_GoOnlyToFoldersBefore() => Assert.Empty(Layers.Upward());

    [Fact]
    public void Namespaces_EveryType_AreInTheOrder()
    {
        Assert.NotEmpty(Layers.Own());
        Assert.Empty(Layers.Unplaced());
    }

    [Fact]
    public void Namespaces_EveryFile_IsItsFolder() => Assert.Empty(Layers.Misplaced());
}
