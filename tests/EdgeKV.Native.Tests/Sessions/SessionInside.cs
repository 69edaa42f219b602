using EdgeKV.Scoring;
using EdgeKV.Sessions;
using LLama.Native;

namespace EdgeKV.Native.Tests;

/// <summary>What tests see of a session beside its public members.</summary>
internal static class SessionInside
{
    extension(EdgeSession session)
    {
        /// <summary>The context, for calls of the native library.</summary>
        public SafeLLamaContextHandle Handle => session.Kv!.Native.Handle;

        /// <summary>The rows of a full cache.</summary>
        public CacheRows CachedRows => new(session.Model, session.Handle, session.Position);
    }
}
