using EdgeKV.Engine;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Compression;

/// <summary>Carries out plans.</summary>
internal static class Rewriting
{
    /// <summary>Rewrites the cache so that a plan's rows stay. On failure the old cache is whole.</summary>
    public static unsafe void Apply(NativeContext context, CompressionPlan plan, CompressOptions options, CancellationToken cancellation)
    {
        fixed (int* counts = plan.Counts, positions = plan.FlatPositions)
        {
            context.Run(
                new ApplyCall(counts, plan.Counts.Length, positions, plan.FlatPositions.Length, options.Room, options.Align),
                new WorkPart(null, 0, 1, cancellation));
        }
    }

    /// <summary>Refuses to give rows new positions, before anything is changed: for plans whose heads differ, and models whose RoPE does not allow it.</summary>
    public static void EnsureRerotates(NativeContext context, CompressionPlan plan)
    {
        int other = plan.Counts.IndexOfAnyExcept(plan.Counts[0]);
        if (other >= 0)
        {
            (int layer, int head) = plan.KvHeads.At(other);
            throw new PlanException(
                $"Positions close up where all KV heads keep equally many rows: layer 0, KV head 0 keeps {plan.Counts[0]}, layer {layer}, "
                + $"KV head {head} keeps {plan.Counts[other]}. Take a policy whose heads and layers keep equally many, or leave positions as they are.");
        }

        EnsureRotates(context);
    }

    /// <summary>Refuses models whose RoPE does not allow new positions.</summary>
    public static void EnsureRotates(NativeContext context) => _ = NativeRotary.OfLayer(context.Model, context.Handle, 0);

    /// <summary>Rotates the kept keys to the positions 0 to rows - 1.</summary>
    public static void Rerotate(NativeContext context)
    {
        int[] fed = TokensAsFed.Of(context.BeforeRerotation, context.Tokens(0, context.Position));
        int[] ids = CacheStateReader.TokensOfRows(context);
        try
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_rerotate(context.Handle), nameof(NativeMethods.edgekv_rerotate));
            context.SetTokens(ids);
            context.BeforeRerotation = new TokensAsFed(ids, fed);
        }
        catch (Exception e) when (e is EdgeKVException or OperationCanceledException)
        {
            context.Fail($"keys were lost while they were rotated to their new positions: {e.Message}");
            throw;
        }
    }
}
