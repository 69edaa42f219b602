using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Engine;

/// <summary>
/// EdgeKV's file around llama.cpp's state: token ids and learned scores, which llama.cpp does not save. Magic (8 bytes), version and header length (int32 each, little-endian),
/// header (JSON), SHA-256 of everything so far, token ids and those that were fed before rows were given other positions (int32 each), learned scores of each run [layers, kvHeads, count] (float32), llama.cpp's state, SHA-256 of everything
/// before.
/// </summary>
internal static unsafe class StateFile
{
    private const int Version = 2;
    private const int MostHeaderBytes = 16 << 20;
    private const int MostFed = 1 << 28;
    private const int Step = 1 << 20;

    private static ReadOnlySpan<byte> Magic => "EdgeKVst"u8;

    /// <summary>Writes a context's state. The caller holds the context's lock.</summary>
    public static void Write(NativeContext context, Stream stream, CancellationToken cancellation)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int position = context.Position;
        int[] tokens = context.Tokens(0, position);
        int[][] runs = context.LearnedRuns(position);
        TokensAsFed? before = context.BeforeRerotation is { } there && tokens.AsSpan().StartsWith(there.Ids) ? there : null;
        nuint size = context.Handle.GetStateSize();
        void* state = NativeMemory.Alloc(size);
        try
        {
            nuint written = context.Handle.GetState((byte*)state, size);
            if (written == 0)
            {
                throw new EdgeKVException("llama.cpp could not write the state of the context.");
            }

            StateHeader header = new(
                FingerprintOf(context.Model),
                context.Model.Geometry.KvHeads.Total,
                context.Get(NativeCacheKey.RowBytes),
                context.Get(NativeCacheKey.TypeK),
                context.Get(NativeCacheKey.TypeV),
                position,
                context.IsCompact,
                before?.Ids.Length ?? 0,
                before?.Fed.Length ?? 0,
                runs,
                (long)written);
            byte[] json = JsonSerializer.SerializeToUtf8Bytes(header, StateJson.Default.StateHeader);
            byte[] start = new byte[Magic.Length + 2 * sizeof(int)];
            Magic.CopyTo(start);
            BinaryPrimitives.WriteInt32LittleEndian(start.AsSpan(Magic.Length), Version);
            BinaryPrimitives.WriteInt32LittleEndian(start.AsSpan(Magic.Length + sizeof(int)), json.Length);
            Put(start);
            Put(json);
            Put(hash.GetCurrentHash());
            Put(MemoryMarshal.AsBytes(tokens.AsSpan()));
            Put(MemoryMarshal.AsBytes((before?.Fed).AsSpan()));
            foreach (int[] run in runs)
            {
                Put(MemoryMarshal.AsBytes(context.Learned(run[0], run[1]).AsSpan()));
            }

            for (nuint done = 0; done < written; done += Step)
            {
                cancellation.ThrowIfCancellationRequested();
                Put(new ReadOnlySpan<byte>((byte*)state + done, (int)Math.Min(Step, written - done)));
            }

            stream.Write(hash.GetHashAndReset());
        }
        finally
        {
            NativeMemory.Free(state);
        }

        void Put(ReadOnlySpan<byte> bytes)
        {
            stream.Write(bytes);
            hash.AppendData(bytes);
        }
    }

    private static StateHeader ReadHeader(Stream stream, IncrementalHash hash)
    {
        try
        {
            byte[] start = new byte[Magic.Length + 2 * sizeof(int)];
            stream.ReadExactly(start);
            if (!start.AsSpan().StartsWith(Magic))
            {
                throw new EdgeKVException("This is not a saved session of EdgeKV.");
            }

            int version = BinaryPrimitives.ReadInt32LittleEndian(start.AsSpan(Magic.Length));
            if (version != Version)
            {
                throw new EdgeKVException($"The saved session is of version {version}; this EdgeKV reads version {Version}.");
            }

            int length = BinaryPrimitives.ReadInt32LittleEndian(start.AsSpan(Magic.Length + sizeof(int)));
            if (length is < 2 or > MostHeaderBytes)
            {
                throw Damaged();
            }

            byte[] json = new byte[length];
            stream.ReadExactly(json);
            hash.AppendData(start);
            hash.AppendData(json);
            byte[] sum = new byte[SHA256.HashSizeInBytes];
            stream.ReadExactly(sum);
            if (!sum.AsSpan().SequenceEqual(hash.GetCurrentHash()))
            {
                throw Damaged();
            }

            hash.AppendData(sum);
            return JsonSerializer.Deserialize(json, StateJson.Default.StateHeader) ?? throw Damaged();
        }
        catch (Exception e) when (e is EndOfStreamException or JsonException)
        {
            throw Damaged(e);
        }
    }

    /// <summary>Reads a state and checks all that can be checked without a context: its bytes, and that they are of a given model and fit a given cache.</summary>
    /// <param name="stream">Read from its position on.</param>
    /// <param name="place">Where the state is to go.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <exception cref="EdgeKVException">The stream is damaged, or of another model or cache type.</exception>
    /// <exception cref="ContextWindowException">A full cache of more tokens than the context can hold.</exception>
    public static SavedState Read(Stream stream, StatePlace place, CancellationToken cancellation)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        StateHeader header = ReadHeader(stream, hash);
        Check(place, header);
        SavedState saved = new(header, place.Model.Geometry.KvHeads.Total);
        try
        {
            Take(MemoryMarshal.AsBytes(saved.Tokens.AsSpan()));
            Take(MemoryMarshal.AsBytes(saved.Fed.AsSpan()));
            foreach (float[] learned in saved.Learned)
            {
                Take(MemoryMarshal.AsBytes(learned.AsSpan()));
            }

            for (long done = 0; done < header.StateBytes; done += Step)
            {
                cancellation.ThrowIfCancellationRequested();
                Take(new Span<byte>(saved.State + done, (int)Math.Min(Step, header.StateBytes - done)));
            }

            byte[] sum = new byte[SHA256.HashSizeInBytes];
            stream.ReadExactly(sum);
            if (!sum.AsSpan().SequenceEqual(hash.GetHashAndReset()))
            {
                throw Damaged();
            }

            cancellation.ThrowIfCancellationRequested();
            return saved;
        }
        catch (Exception e)
        {
            saved.Dispose();
            if (e is EndOfStreamException)
            {
                throw Damaged(e);
            }

            throw;
        }

        void Take(Span<byte> bytes)
        {
            stream.ReadExactly(bytes);
            hash.AppendData(bytes);
        }
    }

    private static void Check(StatePlace place, StateHeader header)
    {
        EdgeModel model = place.Model;
        if (header.Model != FingerprintOf(model) || header.KvHeads != model.Geometry.KvHeads.Total)
        {
            throw new EdgeKVException("The saved session is of another model.");
        }

        if (header.TypeK != place.TypeK || header.TypeV != place.TypeV || header.RowBytes != place.RowBytes[0])
        {
            throw new EdgeKVException("The saved session is of another cache type than the context.");
        }

        if (!header.Compact && header.Position > place.Limit)
        {
            throw new ContextWindowException(
                $"The saved session has {header.Position} tokens in a full cache; the context holds {place.Limit} (ContextSize).", header.Position, place.Limit);
        }

        long mostState = checked(model.Window * place.BytesPerToken) * 2 + (256L << 20);
        if (header.Position < 0 || header.Position > model.Window || header.StateBytes < 1 || header.StateBytes > mostState || header.LearnedRuns is null
            || header.Rerotated < 0 || header.Rerotated > header.Position || header.Fed < header.Rerotated || header.Fed > MostFed)
        {
            throw Damaged();
        }

        int end = 0;
        foreach (int[] run in header.LearnedRuns)
        {
            if (run is not [var first, var count] || first < end || count < 1 || count > header.Position - first)
            {
                throw Damaged();
            }

            end = first + count;
        }
    }

    private static string FingerprintOf(EdgeModel model) => model.Path.Length > 0 ? model.Fingerprint : string.Empty;

    private static EdgeKVException Damaged(Exception? cause = null) => new("The saved session is damaged: it is cut short or its bytes were changed.", cause);
}
