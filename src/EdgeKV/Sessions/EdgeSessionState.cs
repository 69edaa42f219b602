using EdgeKV.Engine;

namespace EdgeKV.Sessions;

/// <summary>Saving what a session has read and loading it again.</summary>
public static class EdgeSessionState
{
    extension(EdgeSession session)
    {
        /// <inheritdoc cref="KvContextState.SaveAsync(KvContext, string, CancellationToken)"/>
        public Task SaveAsync(string path, CancellationToken cancellationToken = default)
        {
            ArgumentException.ThrowIfNullOrEmpty(path);
            return session.RunAsync("save", () => session.LiveAfterReading("save").SaveAsync(path, cancellationToken), cancellationToken);
        }

        /// <inheritdoc cref="KvContextState.SaveAsync(KvContext, Stream, CancellationToken)"/>
        public Task SaveAsync(Stream stream, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(stream);
            return session.RunAsync("save", () => session.LiveAfterReading("save").SaveAsync(stream, cancellationToken), cancellationToken);
        }

        /// <inheritdoc cref="KvContextState.LoadAsync(KvContext, string, CancellationToken)"/>
        public Task LoadAsync(string path, CancellationToken cancellationToken = default)
        {
            ArgumentException.ThrowIfNullOrEmpty(path);
            return session.RunAsync(
                "load", () => LoadAsync(session, place => KvContextState.Read(path, place, cancellationToken)), cancellationToken);
        }

        /// <inheritdoc cref="KvContextState.LoadAsync(KvContext, Stream, CancellationToken)"/>
        public Task LoadAsync(Stream stream, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(stream);
            return session.RunAsync(
                "load", () => LoadAsync(session, place => StateFile.Read(stream, place, cancellationToken)), cancellationToken);
        }
    }

    // The state is read and checked before the session gives up what it holds: only then is it known how large a context it takes.
    private static async Task LoadAsync(EdgeSession session, Func<StatePlace, SavedState> read)
    {
        using SavedState saved = read(session.StatePlace);
        session.Reset();
        KvContext kv = session.EnsureContext(saved.Position);
        await kv.RunAsync(
            () =>
            {
                saved.Restore(kv.Native);
                return true;
            },
            CancellationToken.None).ConfigureAwait(false);
    }
}
