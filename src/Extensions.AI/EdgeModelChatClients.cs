using EdgeKV.Models;

namespace EdgeKV.Extensions.AI;

/// <summary>Making chat clients.</summary>
public static class EdgeModelChatClients
{
    extension(EdgeModel model)
    {
        /// <summary>A chat client of the model. The model stays the caller's: dispose it after the client.</summary>
        /// <param name="options">How contexts are kept; null for the defaults.</param>
        /// <inheritdoc cref="EdgeChatClient(EdgeModel, EdgeChatClientOptions?, bool)"/>
        public EdgeChatClient AsChatClient(EdgeChatClientOptions? options = null) => new(model, options);
    }
}
