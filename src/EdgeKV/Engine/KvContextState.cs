using EdgeKV.Files;

namespace EdgeKV.Engine;

/// <summary>Saving what a context holds and loading it again.</summary>
public static class KvContextState
{
    extension(KvContext context)
    {
        /// <summary>Writes the cache, its token ids and its learned scores to a file. A compact cache is written as it is.</summary>
        /// <param name="path">The file. It is written beside its place and renamed, so that an earlier one stays whole when writing fails.</param>
        /// <param name="cancellationToken">Stops the work.</param>
        /// <exception cref="OutputException">The file cannot be written.</exception>
        /// <exception cref="SessionStateException">The context holds nothing.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Task SaveAsync(string path, CancellationToken cancellationToken = default)
        {
            ArgumentException.ThrowIfNullOrEmpty(path);
            return context.RunAsync(
                () =>
                {
                    context.ThrowIfEmpty("save");
                    OutputFile.Write(path, file => StateFile.Write(context.Native, file, cancellationToken));
                    return true;
                },
                cancellationToken);
        }

        /// <summary>Writes the cache, its token ids and its learned scores to a stream.</summary>
        /// <param name="stream">Written from its position on.</param>
        /// <param name="cancellationToken">Stops the work.</param>
        /// <exception cref="SessionStateException">The context holds nothing.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Task SaveAsync(Stream stream, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(stream);
            return context.RunAsync(
                () =>
                {
                    context.ThrowIfEmpty("save");
                    StateFile.Write(context.Native, stream, cancellationToken);
                    return true;
                },
                cancellationToken);
        }

        /// <summary>
        /// Reads what <see cref="SaveAsync(KvContext, string, CancellationToken)"/> wrote, from a context of the same model and cache type, in place of what the context holds. A file that is
        /// refused changes nothing. Should llama.cpp break off while it takes a file that was found good, the context has failed, and clearing it helps.
        /// </summary>
        /// <param name="path">The file.</param>
        /// <param name="cancellationToken">Stops the work; the context is as before.</param>
        /// <exception cref="EdgeKVException">The file cannot be read, is damaged, or is of another model or cache type.</exception>
        /// <exception cref="ContextWindowException">A full cache of more tokens than the context can hold.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Task LoadAsync(string path, CancellationToken cancellationToken = default)
        {
            ArgumentException.ThrowIfNullOrEmpty(path);
            return context.RunAsync(
                () =>
                {
                    using SavedState saved = Read(path, StatePlace.Of(context.Native, context.FullLimit), cancellationToken);
                    saved.Restore(context.Native);
                    return true;
                },
                cancellationToken);
        }

        /// <summary>Reads what <see cref="SaveAsync(KvContext, Stream, CancellationToken)"/> wrote, as from a file.</summary>
        /// <param name="stream">Read from its position on.</param>
        /// <param name="cancellationToken">Stops the work; the context is as before.</param>
        /// <exception cref="EdgeKVException">The stream is damaged, or of another model or cache type.</exception>
        /// <exception cref="ContextWindowException">A full cache of more tokens than the context can hold.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Task LoadAsync(Stream stream, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(stream);
            return context.RunAsync(
                () =>
                {
                    using SavedState saved = StateFile.Read(stream, StatePlace.Of(context.Native, context.FullLimit), cancellationToken);
                    saved.Restore(context.Native);
                    return true;
                },
                cancellationToken);
        }
    }

    /// <summary>Reads a file and checks it.</summary>
    /// <exception cref="EdgeKVException">It does not exist or cannot be read, or it is damaged or does not fit. The message names it.</exception>
    /// <exception cref="ContextWindowException">A full cache of more tokens than the context can hold.</exception>
    internal static SavedState Read(string path, StatePlace place, CancellationToken cancellation)
    {
        try
        {
            using FileStream file = InputFile.Open(path);
            return StateFile.Read(file, place, cancellation);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new EdgeKVException($"The saved session {path} cannot be read: {e.Message.TrimEnd('.')}; name a file that was saved.", e);
        }
        catch (EdgeKVException e) when (e.GetType() == typeof(EdgeKVException))
        {
            throw new EdgeKVException($"{path}: {e.Message}", e);
        }
    }
}
