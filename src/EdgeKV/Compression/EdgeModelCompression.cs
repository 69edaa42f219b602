using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Compression;

/// <summary>What can be said of a compression before a context is there.</summary>
public static class EdgeModelCompression
{
    extension(EdgeModel model)
    {
        /// <summary>
        /// Refuses a compression that model, cache type, policy and options rule out whatever the document says, so that nobody reads one in vain. <c>CompressAsync</c> asks the
        /// same before it scores.
        /// </summary>
        /// <param name="type">Element type of the cache.</param>
        /// <param name="policy">Who will decide which rows stay.</param>
        /// <param name="tokens">Tokens of the document, 1 and up.</param>
        /// <param name="limit">Positions that the context can come to hold.</param>
        /// <param name="options">How the compression will be carried out; null for the defaults.</param>
        /// <param name="batchSize">Tokens that the context will compute at one time.</param>
        /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact, or be of that type.</exception>
        /// <exception cref="ContextWindowException">The policy's task tokens do not fit behind the document.</exception>
        /// <exception cref="PlanException">
        /// Positions shall close up, and the policy's KV heads keep different numbers of rows; the document is too short for the policy; or the budget leaves no row, or is less than the room
        /// alone takes.
        /// </exception>
        /// <exception cref="EdgeKVException">The options' room is above the model's window.</exception>
        public void EnsureCompressible(
            KvCacheType type, ICompressionPolicy policy, int tokens, int limit, CompressOptions? options = null, int batchSize = KvContext.DefaultBatchSize) =>
            model.EnsureCompressible(type, policy, new ContextToRead(tokens, model.Chat.HasTemplate ? model.Chat.Open(string.Empty).Length : 0, limit, batchSize), options);

        /// <summary>Whether all KV heads of all layers may come to keep equally many rows, so that positions can close up behind a policy.</summary>
        /// <param name="type">Element type of the cache.</param>
        /// <param name="policy">Who will decide which rows stay.</param>
        /// <param name="tokens">Tokens of the document, 1 and up.</param>
        /// <param name="options">How the compression will be carried out; null for the defaults.</param>
        public bool CanCloseUp(KvCacheType type, ICompressionPolicy policy, int tokens, CompressOptions? options = null)
        {
            ArgumentNullException.ThrowIfNull(policy);
            Budget budget = policy.Budget;
            return model.Geometry.KvHeads.Total == 1
                || budget.Ratio == 0 || budget.Rows >= tokens || budget.Bytes >= model.KvBytesPerToken(type) * tokens
                || !policy.RowsDiffer(model.Geometry.KvHeads, tokens, RowCosts.Least(model, type, options ?? new CompressOptions()));
        }

        internal void EnsureCompressible(KvCacheType type, ICompressionPolicy policy, ContextToRead context, CompressOptions? options)
        {
            ArgumentNullException.ThrowIfNull(policy);
            ArgumentOutOfRangeException.ThrowIfLessThan(context.Tokens, 1, nameof(context));
            int tokens = context.Tokens;
            options ??= new CompressOptions();
            options.Validate();
            model.EnsureSupported();
            model.KvMemory.EnsureHolds(type);
            RowCosts.EnsureRoom(model, options);
            if (options.Rerotate && !model.CanCloseUp(type, policy, tokens, options))
            {
                throw new PlanException(
                    $"Positions close up where all KV heads keep equally many rows, and those of policy {policy.Name} do not. "
                    + "Take a policy whose heads and layers keep equally many, or leave positions as they are.");
            }

            policy.EnsurePlannable(model.Geometry.KvHeads, tokens, RowCosts.Least(model, type, options));
            foreach (Statistic statistic in policy.Request.Statistics.SelectMany(statistic => statistic.IsMadeOfRows ? statistic.MadeOf : [statistic]))
            {
                statistic.Reader?.EnsureRoom(statistic, model, context);
            }
        }
    }
}
