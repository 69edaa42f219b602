using EdgeKV.Engine;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;

namespace EdgeKV.Compression;

/// <summary>Compressing what a context holds.</summary>
public static class KvContextCompression
{
    extension(KvContext context)
    {
        /// <summary>
        /// Compresses everything that the context holds by the default policy of <see cref="PolicyResolver"/>: one ranking of all rows by learned scores where the context has them,
        /// probed ones where their profile has the table that these need and the general question fits behind the context, else with the repeat pass, which
        /// takes longer than reading. <see cref="CompressionReport.Scores"/> says which.
        /// </summary>
        /// <param name="budget">How much may stay, of all tokens that were ever read.</param>
        /// <param name="options">How it is carried out; null for the defaults.</param>
        /// <param name="progress">Gets stage and share.</param>
        /// <param name="cancellationToken">Stops the work; the cache is then as it was before.</param>
        /// <inheritdoc cref="CompressAsync(KvContext, ICompressionPolicy, CompressOptions?, IProgress{CompressionProgress}?, CancellationToken)"/>
        public Task<CompressionReport> CompressAsync(
            Budget budget,
            CompressOptions? options = null,
            IProgress<CompressionProgress>? progress = null,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(budget);
            return context.CompressAsync(budget, options, progress, tables: null, prefill: default, cancellationToken);
        }

        /// <summary>
        /// Compresses everything that the context holds: scores it as the policy asks, has the policy plan, rewrites the cache. Tokens that come
        /// afterwards continue at the same positions as before, unless <see cref="CompressOptions.Rerotate"/> gives the rows new ones. A compact cache can be compressed
        /// again by policies whose scores are known: learned scores, and those that look at positions alone.
        /// </summary>
        /// <param name="policy">Decides which rows stay, and how many.</param>
        /// <param name="options">How it is carried out; null for the defaults.</param>
        /// <param name="progress">Gets stage and share.</param>
        /// <param name="cancellationToken">Stops the work; the cache is then as it was before.</param>
        /// <exception cref="SessionStateException">Nothing has been read, several sequences have tokens, or rows or token ids that are needed are missing.</exception>
        /// <exception cref="ContextWindowException">The policy's task tokens do not fit on top of the context.</exception>
        /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
        /// <exception cref="OutOfKvMemoryException">Not enough memory beside the old cache; that is whole.</exception>
        /// <exception cref="PlanException">The budget cannot be met.</exception>
        /// <exception cref="ProfileException">The policy needs a table about the model that no profile has.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
        public Task<CompressionReport> CompressAsync(
            ICompressionPolicy policy,
            CompressOptions? options = null,
            IProgress<CompressionProgress>? progress = null,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(policy);
            return context.CompressAsync(policy, options, progress, tables: null, prefill: default, cancellationToken);
        }

        /// <summary>Rewrites the cache so that exactly a plan's rows stay.</summary>
        /// <param name="plan">A plan for everything that the context holds; over a compact cache, rows that are still there.</param>
        /// <param name="options">How it is carried out; null for the defaults.</param>
        /// <param name="progress">Gets stage and share.</param>
        /// <param name="cancellationToken">Stops the work before the cache is rewritten; it is then as it was before.</param>
        /// <exception cref="PlanException">The plan is for another model or another context, or keeps rows that are gone.</exception>
        /// <exception cref="SessionStateException">Nothing has been read, or several sequences have tokens.</exception>
        /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
        /// <exception cref="OutOfKvMemoryException">Not enough memory beside the old cache; that is whole.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
        public Task<CompressionReport> ApplyAsync(
            CompressionPlan plan,
            CompressOptions? options = null,
            IProgress<CompressionProgress>? progress = null,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(plan);
            return context.ApplyAsync(plan, options, progress, prefill: default, cancellationToken);
        }

        internal Task<CompressionReport> CompressAsync(
            Budget budget, CompressOptions? options, IProgress<CompressionProgress>? progress, ScoreProfile? tables, TimeSpan prefill, CancellationToken cancellation) =>
            context.RunCompression(options, progress, compressor => compressor.Run(budget, tables, prefill), cancellation);

        internal Task<CompressionReport> CompressAsync(
            ICompressionPolicy policy,
            CompressOptions? options,
            IProgress<CompressionProgress>? progress,
            ScoreProfile? tables,
            TimeSpan prefill,
            CancellationToken cancellation) =>
            context.RunCompression(options, progress, compressor => compressor.Run(policy, tables, prefill), cancellation);

        internal Task<CompressionReport> ApplyAsync(
            CompressionPlan plan, CompressOptions? options, IProgress<CompressionProgress>? progress, TimeSpan prefill, CancellationToken cancellation) =>
            context.RunCompression(options, progress, compressor => compressor.Run(plan, prefill), cancellation);

        private Task<CompressionReport> RunCompression(
            CompressOptions? options,
            IProgress<CompressionProgress>? progress,
            Func<Compressor, CompressionReport> work,
            CancellationToken cancellation)
        {
            options ??= new CompressOptions();
            options.Validate();
            return context.RunAsync(() => work(new Compressor(context, options, progress, cancellation)), cancellation);
        }
    }
}
