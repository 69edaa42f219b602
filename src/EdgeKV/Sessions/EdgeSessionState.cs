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
                "load",
                async () =>
                {
                    using FileStream file = KvContextState.Open(path);
                    try
                    {
                        await ReadAsync(session, file, cancellationToken).ConfigureAwait(false);
                    }
                    catch (EdgeKVException e) when (e.GetType() == typeof(EdgeKVException))
                    {
                        throw new EdgeKVException($"{path}: {e.Message}", e);
                    }
                },
                cancellationToken);
        }

        /// <summary>Reads what <c>SaveAsync</c> wrote.</summary>
        /// <param name="stream">Read from its position on. It must be able to seek.</param>
        /// <param name="cancellationToken">Stops the work.</param>
        /// <exception cref="EdgeKVException">The stream is damaged, or of another model or cache type. Where llama.cpp refused it, the session is empty then.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Task LoadAsync(Stream stream, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(stream);
            return stream.CanSeek
                ? session.RunAsync("load", () => ReadAsync(session, stream, cancellationToken), cancellationToken)
                : throw new ArgumentException("The stream cannot seek, and the session has to know the state's size before its context is made. Copy it to a file first.", nameof(stream));
        }
    }

    // The header says how large a context the state takes.
    private static Task ReadAsync(EdgeSession session, Stream stream, CancellationToken cancellation)
    {
        long start = stream.Position;
        int position = StateFile.ReadHeader(stream).Position;
        stream.Position = start;
        session.Reset();
        return session.EnsureContext(Math.Clamp(position, 1, session.Model.Window)).LoadAsync(stream, cancellation);
    }
}
