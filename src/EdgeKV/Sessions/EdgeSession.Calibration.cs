using EdgeKV.Native;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    /// <summary>From here on keeps what every layer's attention is given, of one batch at a time.</summary>
    /// <param name="contextSize">Tokens that will be read, where the session chooses the size of its cache.</param>
    /// <exception cref="UnsupportedModelException">The model's graph does not name it.</exception>
    internal void KeepInputs(int contextSize) => RunHere("keep inputs", () =>
    {
        EnsureContext(contextSize);
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_inputs_keep(Live, keep: true), nameof(NativeMethods.edgekv_inputs_keep));
        }

        return true;
    });

    /// <summary>What a layer's attention was given for the tokens read last, one batch of them.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="inputs">Takes [tokens, embedding].</param>
    internal unsafe void ReadInputs(int layer, Span<float> inputs)
    {
        Enter("read inputs");
        try
        {
            lock (_native)
            {
                fixed (float* pointer = inputs)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_inputs(Live, layer, pointer, (nuint)inputs.Length), nameof(NativeMethods.edgekv_inputs));
                }
            }
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>From here on, starting at zero, sums the queries and keys of every token that is fed.</summary>
    /// <exception cref="UnsupportedModelException">The model does not rotate its queries and keys (RoPE).</exception>
    internal void KeepQueries() => RunHere("keep queries", () =>
    {
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_queries_keep(Live, keep: true, 0), nameof(NativeMethods.edgekv_queries_keep));
        }

        return true;
    });

    /// <summary>A layer's sums since <see cref="KeepQueries"/>.</summary>
    /// <param name="which">Which sum.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="sums">Takes [heads, headSize], or [heads, headSize, headSize] of products.</param>
    internal unsafe void ReadQueries(NativeQuerySum which, int layer, Span<double> sums)
    {
        Enter("read queries");
        try
        {
            lock (_native)
            {
                fixed (double* pointer = sums)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_queries(Live, which, layer, pointer, (nuint)sums.Length), nameof(NativeMethods.edgekv_queries));
                }
            }
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>How the model turns its keys.</summary>
    /// <exception cref="UnsupportedModelException">Not by one rotation in all layers.</exception>
    internal RotaryEncoding RotaryOfKeys() => RunHere("read the rotation", ReadRotary);

    /// <summary>
    /// Feeds tokens as <see cref="Decode"/> does and sees what attention they pay: the sum of their weights, each query's softmax being over all that
    /// it sees.
    /// </summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="columns">Positions whose weights are wanted, from 0 on.</param>
    /// <param name="read">Gets the weights, [layers, heads, columns]; not to be kept.</param>
    /// <param name="cancellation">Stops the work; nothing has then been fed.</param>
    internal void DecodeSeen(ReadOnlySpan<int> tokens, int columns, Action<ReadOnlySpan<float>> read, CancellationToken cancellation)
    {
        Enter("decode");
        try
        {
            ThrowIfEmpty(tokens, nameof(tokens));
            EnsureFits(tokens.Length, "The tokens");
            using ScoresHandle scores = ScoresHandle.Create(Live, columns, NativeAggregates.Sum);
            FeedScored(scores, tokens, scoreMemory: 0, progress: null, 0, 1, cancellation);
            _tokens.AddRange(tokens);
            int length = checked(Model.Layers * Model.Heads * columns);
            read(NativeScoreBuffer.Of(scores, NativeAggregates.Sum, length)!.Slice(0, length));
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>
    /// Feeds tokens as <see cref="Decode"/> does and sees what each layer would lose if it kept few rows: the sum over the tokens of
    /// ||O_c - O_f|| / (||O_f|| + epsilon), O_f being the attention's output over all rows, O_c over the few and those after the context
    /// (CompressKV, arXiv 2508.02401, equations 8-12).
    /// </summary>
    /// <param name="kept">For each layer the positions it would keep, ascending, of what has been read: the context.</param>
    /// <param name="tokens">At least one token.</param>
    /// <param name="epsilon">Above 0.</param>
    /// <param name="cancellation">Stops the work; nothing has then been fed.</param>
    /// <returns>[layers].</returns>
    internal unsafe double[] EvictionErrors(int[][] kept, ReadOnlySpan<int> tokens, double epsilon, CancellationToken cancellation)
    {
        Enter("decode");
        try
        {
            ThrowIfEmpty(tokens, nameof(tokens));
            EnsureFits(tokens.Length, "The tokens");
            int[] counts = Array.ConvertAll(kept, positions => positions.Length);
            int[] all = [.. kept.SelectMany(positions => positions)];
            double[] errors = new double[Model.Layers];
            using ProgressCallback callback = new(progress: null, cancellation);
            ContextHandle context = Live;
            using CancellationTokenRegistration registration =
                cancellation.UnsafeRegister(static state => ((ContextHandle)state!).Interrupt(), context);
            NativeStatus status;
            do
            {
                lock (_native)
                {
                    fixed (int* countsPointer = counts)
                    fixed (int* positions = all)
                    fixed (int* fed = tokens)
                    fixed (double* pointer = errors)
                    {
                        status = NativeMethods.edgekv_eviction_errors(
                            Live,
                            Position,
                            countsPointer,
                            positions,
                            (nuint)all.Length,
                            fed,
                            tokens.Length,
                            epsilon,
                            pointer,
                            (nuint)errors.Length,
                            ProgressCallback.Function,
                            callback.User);
                    }

                    callback.ThrowIfFailed();
                    if (status != NativeStatus.Ok && !IsStrayInterrupt(status, cancellation))
                    {
                        ThrowStatus(status, nameof(NativeMethods.edgekv_eviction_errors), cancellation);
                    }
                }
            }
            while (status != NativeStatus.Ok);
            _tokens.AddRange(tokens);
            return errors;
        }
        finally
        {
            Exit();
        }
    }
}
