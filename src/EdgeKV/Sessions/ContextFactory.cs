using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Native;
using LLama;
using LLama.Common;
using LLama.Exceptions;

namespace EdgeKV.Sessions;

/// <summary>Makes the LLamaSharp contexts of sessions.</summary>
internal static class ContextFactory
{
    /// <summary>A context with an empty full cache, attached.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Type, batch, threads and profile.</param>
    /// <param name="size">Cells of the full cache.</param>
    /// <param name="positions">Positions that the context will come to have; 0: no more than there are cells.</param>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
    public static KvContext Create(EdgeModel model, SessionOptions options, int size, int positions)
    {
        model.EnsureSupported();
        LLama.Native.GGMLType type = options.CacheType.ToGgml();
        NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_cache_fits(model.Handle, (uint)size, (int)type, (int)type, options.OffloadKv), nameof(NativeMethods.edgekv_cache_fits));

        // llama.cpp's threads spin: one for each core.
        int threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount;
        ModelParams parameters = new(model.Path)
        {
            ContextSize = (uint)size,
            BatchSize = (uint)options.BatchSize,
            UBatchSize = (uint)options.BatchSize,
            Threads = threads,
            BatchThreads = threads,
            TypeK = type,
            TypeV = type,
            FlashAttention = true,
            NoKqvOffload = !options.OffloadKv,
        };
        LLamaContext context = Create(model, parameters);
        try
        {
            AttachOptions attach = new()
            {
                Profile = options.Profile,
                LearnedScores = options.LearnedScores,
                Attention = options.Attention,
            };
            KvContext view = KvContext.Attach(context, attach, options.ContextSize > 0 ? options.ContextSize : int.MaxValue);
            if (positions > 0)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_positions_set(context.NativeHandle, (uint)positions), nameof(NativeMethods.edgekv_positions_set));
            }

            return view;
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    private static LLamaContext Create(EdgeModel model, ModelParams parameters)
    {
        NativeErrors.ClearLogError();
        LLamaContext context;
        try
        {
            context = model.Weights.CreateContext(parameters);
        }
        catch (Exception e) when (e is RuntimeError or LoadWeightsFailedException)
        {
            throw Failed(e);
        }

        // LLamaSharp 0.30.0 hands out a context without a handle when llama.cpp makes none.
        if (context.NativeHandle.IsInvalid)
        {
            context.Dispose();
            throw Failed(null);
        }

        return context;

        static EdgeKVException Failed(Exception? inner)
        {
            string reason = NativeErrors.LogError() ?? inner?.Message ?? "it gives no reason";
            return new EdgeKVException($"llama.cpp could not make a context: {reason}", inner);
        }
    }
}
