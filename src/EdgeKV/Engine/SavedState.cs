using System.Runtime.InteropServices;
using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Engine;

/// <summary>Where a saved state is to go, as far as it can be told before the context is made.</summary>
/// <param name="Model">The model.</param>
/// <param name="TypeK">The ggml_type of keys.</param>
/// <param name="TypeV">The ggml_type of values.</param>
/// <param name="RowBytes">Bytes of one KV head's key and value of one token, by layer.</param>
/// <param name="Limit">Positions that a full cache can hold.</param>
internal sealed record StatePlace(EdgeModel Model, long TypeK, long TypeV, long[] RowBytes, int Limit)
{
    /// <summary>Bytes of one token in all layers and KV heads.</summary>
    public long BytesPerToken => RowBytes.Select((bytes, layer) => Model.Geometry.KvHeads[layer] * bytes).Sum();

    /// <summary>A context that is there.</summary>
    public static StatePlace Of(NativeContext context, int limit) => new(
        context.Model, context.Get(NativeCacheKey.TypeK), context.Get(NativeCacheKey.TypeV), CacheStateReader.RowBytes(context), limit);
}

/// <summary>A state that was read and found whole, in memory until it is given to a context.</summary>
internal sealed unsafe class SavedState : IDisposable
{
    private readonly StateHeader _header;

    /// <param name="header">What the state says about itself, checked.</param>
    /// <param name="heads">KV heads of all layers.</param>
    public SavedState(StateHeader header, int heads)
    {
        _header = header;
        Tokens = new int[header.Position];
        Fed = new int[header.Fed];
        Learned = Array.ConvertAll(header.LearnedRuns, run => new float[checked(heads * run[1])]);
        State = (byte*)NativeMemory.Alloc((nuint)header.StateBytes);
    }

    /// <summary>Tokens that the state holds.</summary>
    public int Position => _header.Position;

    /// <summary>The ids of its tokens.</summary>
    public int[] Tokens { get; }

    /// <summary>The ids of the tokens that were fed before rows were given other positions; empty: none were.</summary>
    public int[] Fed { get; }

    /// <summary>The learned scores of each run of positions that has some.</summary>
    public float[][] Learned { get; }

    /// <summary>llama.cpp's own state.</summary>
    public byte* State { get; private set; }

    /// <summary>Puts the state in place of what a context holds. The caller holds the context's lock. When that breaks off, the context is marked as failed.</summary>
    /// <exception cref="EdgeKVException">llama.cpp refuses the state.</exception>
    public void Restore(NativeContext context)
    {
        context.Clear();
        try
        {
            if (context.Handle.SetState(State, (nuint)_header.StateBytes) == 0 || context.Get(NativeCacheKey.Fault) != 0 || context.Position != Position)
            {
                throw new EdgeKVException(
                    "llama.cpp refused the saved session. Was it saved by another version, or on another kind of machine?");
            }

            context.SetTokens(Tokens);
            context.BeforeRerotation = _header.Rerotated > 0 ? new TokensAsFed(Tokens[.._header.Rerotated], Fed) : null;
            for (int i = 0; i < Learned.Length; i++)
            {
                context.SetLearned(_header.LearnedRuns[i][0], _header.LearnedRuns[i][1], Learned[i]);
            }
        }
        catch (EdgeKVException e)
        {
            context.Fail($"loading a saved session broke off: {e.Message}");
            throw;
        }
    }

    public void Dispose()
    {
        NativeMemory.Free(State);
        State = null;
    }
}
