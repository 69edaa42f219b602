using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Policies.Allocators;

namespace EdgeKV.Reading;

/// <summary>Reading into a context and dropping rows meanwhile.</summary>
public static class KvContextReading
{
    extension(KvContext context)
    {
        /// <summary>
        /// Reads tokens into an empty context and compresses them meanwhile: they are fed in chunks, and after each one the rows of all layers and KV heads that
        /// score lowest go, down to the budget of the whole. Later chunks attend to the rows that are left, so the cache never holds more than the budget's rows, the latest tokens' and one
        /// chunk's.
        /// </summary>
        /// <param name="tokens">At least one token, as they are, with no chat template around them.</param>
        /// <param name="policy">Ranks rows by scores that are there as soon as a row has been read: an <c>IReadingScorer</c>.</param>
        /// <param name="options">How it is carried out; null for the defaults. Chunks are at most as long as the full cache.</param>
        /// <param name="progress">Gets the share done, 0 to 1.</param>
        /// <param name="cancellationToken">Stops the work; the context is empty then.</param>
        /// <exception cref="PlanException">The policy's scores need the whole context, or its budget cannot be met. The context is empty.</exception>
        /// <exception cref="ContextWindowException">More tokens, or more that have to fit, than the model's window.</exception>
        /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
        /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache. The context is empty.</exception>
        /// <exception cref="SessionStateException">The context has no profile, or holds tokens already.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Task<CompressionReport> CompressWhileReadingAsync(
            ReadOnlyMemory<int> tokens,
            GlobalRanking policy,
            ReadingOptions? options = null,
            IProgress<double>? progress = null,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(policy);
            options ??= new ReadingOptions();
            options.Validate();
            return context.RunAsync(
                () =>
                {
                    context.EnsureReadable(tokens.Length, policy);
                    if (options.Rerotate)
                    {
                        _ = StreamingReader.PositionsUsed(
                            context.Model, Models.CacheTypes.Of(context.Native.Get(Native.NativeCacheKey.TypeK)), tokens.Length, policy, options);
                    }
                    else
                    {
                        EnsureInWindow(context.Model, tokens.Length);
                    }

                    int chunk = Math.Min(options.ChunkTokens, context.Limit);
                    return new StreamingReader(context, policy, options with { ChunkTokens = chunk }).Read(tokens.Span, progress, cancellationToken);
                },
                cancellationToken);
        }

        /// <summary>Refuses what cannot be read while rows are dropped.</summary>
        internal void EnsureReadable(int tokens, GlobalRanking policy)
        {
            if (tokens == 0)
            {
                throw new ArgumentException("There is no token to feed.", nameof(tokens));
            }

            if (context.Native.Position > 0)
            {
                throw new SessionStateException(
                    $"Cannot read: the context holds {context.Native.Position} tokens already. Clear it, roll it back to 0, or make another one.");
            }

            context.Model.EnsureSupported();
            _ = ReadingPlanner.ScorerOf(policy);
            if (context.Profile is null)
            {
                throw new SessionStateException(
                    "There are no learned scores: the context has no profile. Make one of the model with `edgekv calibrate`, or take another score.");
            }
        }
    }

    /// <exception cref="ContextWindowException">More tokens than the model's window holds.</exception>
    internal static void EnsureInWindow(Models.EdgeModel model, int tokens)
    {
        if (tokens > model.Window)
        {
            throw new ContextWindowException(
                $"The document has {tokens} tokens; the model's window holds {model.Window}. Shorten it, split it, or take a model with a larger window.",
                tokens,
                model.Window);
        }
    }
}
