namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>The texts of stored conversations. They take little: a conversation outlives its context, and is then read anew.</summary>
/// <param name="most">Conversations at one time, 1 and up. The least recently used one goes first.</param>
internal sealed class ConversationStore(int most)
{
    // The least recently used comes first.
    private readonly OrderedDictionary<string, Conversation> _stored = [];

    /// <summary>A conversation that goes on.</summary>
    /// <exception cref="SessionStateException">There is none of that name.</exception>
    public Conversation Find(string id) => _stored.TryGetValue(id, out Conversation? found)
        ? found
        : throw new SessionStateException($"The conversation \"{id}\" is not stored here: it was never begun, or was dropped for later ones. Send its whole history without a ConversationId.");

    /// <summary>A conversation that begins. It is stored once it has an answer.</summary>
    public static Conversation Begin() => new($"conv_{Guid.NewGuid():N}");

    /// <summary>Stores a conversation as the most recently used one.</summary>
    public void Keep(Conversation conversation)
    {
        _stored.Remove(conversation.Id);
        if (_stored.Count >= most)
        {
            _stored.RemoveAt(0);
        }

        _stored.Add(conversation.Id, conversation);
    }
}
