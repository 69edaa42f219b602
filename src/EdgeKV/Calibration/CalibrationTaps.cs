using EdgeKV.Engine;
using EdgeKV.Native;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>What calibration sees of a session's model while it decodes.</summary>
internal static unsafe class CalibrationTaps
{
    extension(EdgeSession session)
    {
        /// <summary>From here on keeps what every layer's attention is given, of one batch at a time.</summary>
        /// <param name="contextSize">Tokens that will be read, where the session chooses the size of its cache.</param>
        /// <exception cref="UnsupportedModelException">The model's graph does not name it.</exception>
        public void KeepInputs(int contextSize) => NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_inputs_keep(session.EnsureContext(contextSize).Native.Handle, keep: true), nameof(NativeMethods.edgekv_inputs_keep));

        /// <summary>What a layer's attention was given for the tokens read last, one batch of them.</summary>
        /// <param name="layer">0 to layers - 1.</param>
        /// <param name="inputs">Takes [tokens, embedding].</param>
        public void ReadInputs(int layer, Span<float> inputs)
        {
            fixed (float* pointer = inputs)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_inputs(session.Native().Handle, layer, pointer, (nuint)inputs.Length), nameof(NativeMethods.edgekv_inputs));
            }
        }

        /// <summary>From here on, starting at zero, sums the queries and keys of every token that is fed.</summary>
        /// <exception cref="UnsupportedModelException">The model does not rotate its queries and keys (RoPE).</exception>
        public void KeepQueries() => NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_queries_keep(session.Native().Handle, keep: true, 0), nameof(NativeMethods.edgekv_queries_keep));

        /// <summary>A layer's sums since <c>KeepQueries</c>.</summary>
        /// <param name="which">Which sum.</param>
        /// <param name="layer">0 to layers - 1.</param>
        /// <param name="sums">Takes [heads, headSize], or [heads, headSize, headSize] of products.</param>
        public void ReadQueries(NativeQuerySum which, int layer, Span<double> sums)
        {
            fixed (double* pointer = sums)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_queries(session.Native().Handle, which, layer, pointer, (nuint)sums.Length), nameof(NativeMethods.edgekv_queries));
            }
        }

        /// <summary>How the model rotates its keys.</summary>
        /// <exception cref="UnsupportedModelException">Not by one rotation in all layers.</exception>
        public RotaryEncoding RotaryOfKeys() => NativeRotary.OfAllLayers(session.Model, session.Native().Handle);

        /// <summary>
        /// Feeds tokens and sees what attention they pay: the sum of their weights, each query's softmax being over all that it sees.
        /// </summary>
        /// <param name="tokens">At least one token.</param>
        /// <param name="columns">Positions whose weights are wanted, from 0 on.</param>
        /// <param name="read">Gets the weights, [layers, heads, columns]; not to be kept.</param>
        /// <param name="cancellation">Stops the work; nothing has then been fed.</param>
        public void DecodeSeen(ReadOnlySpan<int> tokens, int columns, Action<ReadOnlySpan<float>> read, CancellationToken cancellation)
        {
            KvContext context = session.Live();
            using (context.Enter())
            {
                context.EnsureFits(tokens.Length, "The tokens");
                ScoredContext scored = new(context.Native, context.Limit, scoreMemory: 0);
                using ScoresHandle scores = scored.CreateScores(NativeAggregates.Sum, columns);
                context.Native.FeedScored(scores, tokens, scoreMemory: 0, new WorkPart(null, 0, 1, cancellation));
                int length = checked(session.Model.Geometry.Heads.Total * columns);
                read(scored.Buffer(scores, AttentionAggregate.Sum, columns).Slice(0, length));
            }
        }

        /// <summary>
        /// Feeds tokens and sees what each layer would lose if it kept few rows: the sum over the tokens of
        /// ||O_c - O_f|| / (||O_f|| + epsilon), O_f being the attention's output over all rows, O_c over the few and those after the context
        /// (CompressKV, arXiv 2508.02401, equations 8-12).
        /// </summary>
        /// <param name="kept">For each layer the positions it would keep, ascending, of what has been read: the context.</param>
        /// <param name="tokens">At least one token.</param>
        /// <param name="epsilon">Above 0.</param>
        /// <param name="cancellation">Stops the work; nothing has then been fed.</param>
        /// <returns>[layers].</returns>
        public double[] EvictionErrors(int[][] kept, ReadOnlySpan<int> tokens, double epsilon, CancellationToken cancellation)
        {
            KvContext context = session.Live();
            int[] counts = Array.ConvertAll(kept, positions => positions.Length);
            int[] all = [.. kept.SelectMany(positions => positions)];
            double[] errors = new double[session.Model.Geometry.Layers.Count];
            using (context.Enter())
            {
                context.EnsureFits(tokens.Length, "The tokens");
                fixed (int* countsPointer = counts, positions = all, fed = tokens)
                fixed (double* pointer = errors)
                {
                    context.Native.Run(
                        new EvictionErrorsCall(
                            context.Native.Position, countsPointer, positions, all.Length, fed, tokens.Length, epsilon, pointer, errors.Length),
                        new WorkPart(null, 0, 1, cancellation));
                }
            }

            return errors;
        }

        private KvContext Live() => session.Kv ?? throw new SessionStateException("The session has read nothing yet: prefill first.");

        private NativeContext Native() => session.Live().Native;
    }
}
