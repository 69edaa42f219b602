using EdgeKV.Extensions.AI.Requests;

namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>A conversation that is stored between calls, so that a call holds only what is new in it.</summary>
/// <param name="Id">Its name.</param>
internal sealed record Conversation(string Id)
{
    /// <summary>All messages, answers included.</summary>
    public IReadOnlyList<RequestMessage> Messages { get; set; } = [];
}
