using EdgeKV.Models;

namespace EdgeKV.Sessions;

/// <summary>Making sessions.</summary>
public static class EdgeModelSessions
{
    extension(EdgeModel model)
    {
        /// <summary>A session with a KV cache of its own.</summary>
        /// <param name="options">Size and type of its cache; null for the defaults.</param>
        /// <exception cref="ContextWindowException">A context larger than the model's window was asked for.</exception>
        /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
        /// <exception cref="ProfileException">The model's profile, or the one given, is damaged or another model's.</exception>
        /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
        public EdgeSession CreateSession(SessionOptions? options = null) => new(model, options ?? new SessionOptions());
    }
}
