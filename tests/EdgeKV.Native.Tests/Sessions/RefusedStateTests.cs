using System.Security.Cryptography;
using System.Text.Json;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Loading what cannot be loaded: the session keeps what it had read.</summary>
public sealed class RefusedStateTests : IDisposable
{
    private static readonly SessionOptions Options = new() { Threads = 1 };

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-refused-").FullName;

    private string File => Path.Combine(_folder, "state");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string> Faults =>
        ["empty", "no header", "half a header", "no tokens", "half the rows", "no sum", "magic", "version", "header", "tokens", "rows", "sum", "junk"];

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task LoadAsync_DamagedFile_LeavesTheSessionAsItWas(string fault)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        byte[] good = await Saved(model, Options);
        int header = 16 + BitConverter.ToInt32(good, 12) + 32;
        byte[] bad = fault switch
        {
            "empty" => [],
            "no header" => good[..16],
            "half a header" => good[..(header / 2)],
            "no tokens" => good[..(header + 10)],
            "half the rows" => good[..(good.Length / 2)],
            "no sum" => good[..^32],
            "magic" => Flipped(good, 3),
            "version" => Flipped(good, 8),
            "header" => Flipped(good, 40),
            "tokens" => Flipped(good, header + 5),
            "rows" => Flipped(good, good.Length - 1000),
            "sum" => Flipped(good, good.Length - 1),
            _ => [.. Enumerable.Repeat((byte)'x', 5000)],
        };
        await Refused<EdgeKVException>(model, Options, bad);
    }

    [Fact]
    public async Task LoadAsync_AnotherModelsFile_LeavesTheSessionAsItWas()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeModel other = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));

        Assert.Contains("another model", (await Refused<EdgeKVException>(model, Options, await Saved(other, Options))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task LoadAsync_AnotherCacheTypesFile_LeavesTheSessionAsItWas()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        byte[] rounded = await Saved(model, Options with { CacheType = KvCacheType.Q8_0 });

        Assert.Contains("another cache type", (await Refused<EdgeKVException>(model, Options, rounded)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task LoadAsync_FileOfMoreTokensThanTheSessionHolds_LeavesTheSessionAsItWas()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        byte[] longer = await Saved(model, Options, tokens: 400);

        ContextWindowException error = await Refused<ContextWindowException>(model, Options with { ContextSize = 256 }, longer);

        Assert.Equal((400, 256), (error.Length, error.Limit));
    }

    [Fact]
    public async Task LoadAsync_Cancelled_LeavesTheSessionAsItWas()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = await Reader(model, Options);
        using CancellationTokenSource source = new();
        using CancellingStream stream = new(await Saved(model, Options), source);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.LoadAsync(stream, source.Token));

        Assert.Equal(30, session.Position);
    }

    [Fact]
    public async Task LoadAsync_StreamThatCannotSeek_IsRead()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = await Reader(model, Options);
        using MemoryStream bytes = new(await Saved(model, Options));
        using Stream stream = new ForwardStream(bytes);

        await session.LoadAsync(stream);

        Assert.Equal(40, session.Position);
    }

    [Fact]
    public async Task LoadAsync_WholeFileThatLLamaCppRefuses_MarksTheSessionAsFailedUntilItIsCleared()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        byte[] bytes = await Saved(model, Options);
        int header = BitConverter.ToInt32(bytes, 12);
        long stateBytes = JsonDocument.Parse(bytes.AsMemory(16, header)).RootElement.GetProperty("StateBytes").GetInt64();
        bytes.AsSpan(bytes.Length - 32 - (int)stateBytes, 64).Fill(0x55);
        SHA256.HashData(bytes.AsSpan(..^32), bytes.AsSpan(^32..));
        using EdgeSession session = await Reader(model, Options);

        Assert.Contains("llama.cpp refused", (await Assert.ThrowsAsync<EdgeKVException>(() => session.LoadAsync(new MemoryStream(bytes)))).Message, StringComparison.Ordinal);

        Assert.Contains("failed", Assert.Throws<SessionStateException>(() => session.Decode([7]).Length).Message, StringComparison.Ordinal);
        session.Clear();
        await session.PrefillAsync(TinyModels.RandomTokens(30, 2));
        Assert.Equal(30, session.Position);
    }

    /// <summary>Loads into a session with a document, full and compact, and into one that has read nothing.</summary>
    private async Task<TError> Refused<TError>(EdgeModel model, SessionOptions options, byte[] bytes)
        where TError : EdgeKVException
    {
        await System.IO.File.WriteAllBytesAsync(File, bytes);
        TError? error = null;
        foreach (bool compact in (bool[])[false, true])
        {
            using EdgeSession session = await Reader(model, options);
            if (compact)
            {
                await session.CompressAsync(new StreamingLLM { Ratio = 0.5 });
            }

            float[] before = session.Decode([7]).ToArray();
            session.Rollback(30);
            int[] tokens = session.Cache.Tokens.ToArray();

            error = await Assert.ThrowsAsync<TError>(() => session.LoadAsync(File));
            using MemoryStream stream = new(bytes);
            await Assert.ThrowsAsync<TError>(() => session.LoadAsync(stream));
            await Assert.ThrowsAsync<TError>(() => session.Kv!.LoadAsync(File));

            Assert.Equal((30, compact), (session.Position, session.Cache.IsCompact));
            Assert.Equal(tokens, session.Cache.Tokens.ToArray());
            Assert.Equal(before, session.Decode([7]).ToArray());
            Assert.True(session.PrefillTime > TimeSpan.Zero);
        }

        using EdgeSession fresh = model.CreateSession(options);
        await Assert.ThrowsAsync<TError>(() => fresh.LoadAsync(File));
        Assert.Equal(0, fresh.Position);
        await fresh.PrefillAsync(TinyModels.RandomTokens(30, 2));
        return error!;
    }

    private static async Task<EdgeSession> Reader(EdgeModel model, SessionOptions options)
    {
        EdgeSession session = model.CreateSession(options);
        await session.PrefillAsync(TinyModels.RandomTokens(30, 2));
        return session;
    }

    private static async Task<byte[]> Saved(EdgeModel model, SessionOptions options, int tokens = 40)
    {
        using EdgeSession session = model.CreateSession(options);
        await session.PrefillAsync(TinyModels.RandomTokens(tokens, 1));
        using MemoryStream stream = new();
        await session.SaveAsync(stream);
        return stream.ToArray();
    }

    private static byte[] Flipped(byte[] bytes, int index)
    {
        byte[] flipped = [.. bytes];
        flipped[index] ^= 0x40;
        return flipped;
    }

    /// <summary>Cancels once half of it has been read.</summary>
    private sealed class CancellingStream(byte[] bytes, CancellationTokenSource source) : MemoryStream(bytes)
    {
        public override int Read(Span<byte> buffer)
        {
            if (Position > 300)
            {
                source.Cancel();
            }

            return base.Read(buffer);
        }
    }

    private sealed class ForwardStream(Stream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
