using System.Runtime.ExceptionServices;

namespace EdgeKV.Numerics;

/// <summary>Work over the layers of a model in parallel.</summary>
internal static class LayerLoop
{
    /// <summary>Runs a body once per layer, in no given order, on as many threads as there are.</summary>
    /// <param name="layers">Layers, 0 and up.</param>
    /// <param name="body">Takes the layer. What it throws comes out as it is; of several failures one.</param>
    public static void ForEach(int layers, Action<int> body) => Run(() => Parallel.For(0, layers, body));

    /// <inheritdoc cref="ForEach(int, Action{int})"/>
    /// <param name="layers">Layers, 0 and up.</param>
    /// <param name="create">Makes one thread's memory; disposed when the thread is done.</param>
    /// <param name="body">Takes the layer and the thread's memory.</param>
    public static void ForEach<TScratch>(int layers, Func<TScratch> create, Action<int, TScratch> body)
        where TScratch : IDisposable => Run(() => Parallel.For(
        0,
        layers,
        create,
        (layer, _, scratch) =>
        {
            body(layer, scratch);
            return scratch;
        },
        scratch => scratch.Dispose()));

    /// <summary>Makes the target the lower one of itself and the value; safe for many threads.</summary>
    public static void Lower(ref int target, int value)
    {
        int seen = target;
        while (value < seen)
        {
            int before = Interlocked.CompareExchange(ref target, value, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    private static void Run(Action loop)
    {
        try
        {
            loop();
        }
        catch (AggregateException failures)
        {
            // Which layer ran on which thread is no concern of the caller's.
            ExceptionDispatchInfo.Throw(failures.InnerExceptions[0]);
        }
    }
}
