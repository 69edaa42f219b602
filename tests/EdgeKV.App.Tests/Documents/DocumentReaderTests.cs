using EdgeKV.Cli;
using EdgeKV.Cli.Documents;

namespace EdgeKV.App.Tests.Documents;

public sealed class DocumentReaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly DocumentReader _reader = new("document", "--document");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task ReadAsync_TextWithByteOrderMark_LeavesTheMarkOut()
    {
        string path = _folder.File("a.txt", [0xEF, 0xBB, 0xBF, .. "Grüße 🌊\n"u8]);

        Document document = await _reader.ReadAsync(path, Stream.Null, CancellationToken.None);

        Assert.Equal("Grüße 🌊\n", document.Text);
        Assert.Equal(path, document.Name);
        Assert.Equal(16, document.Bytes);
    }

    [Fact]
    public async Task ReadAsync_Dash_ReadsStandardInput()
    {
        using MemoryStream input = new("from a pipe"u8.ToArray());

        Document document = await _reader.ReadAsync("-", input, CancellationToken.None);

        Assert.Equal("from a pipe", document.Text);
        Assert.Equal("standard input", document.Name);
    }

    [Fact]
    public async Task ReadAsync_InvalidUtf8_NamesTheFirstBadByte()
    {
        string path = _folder.File("latin1.txt", [(byte)'a', (byte)'b', 0xE9, (byte)'c']);

        CommandException e = await Assert.ThrowsAsync<CommandException>(() => _reader.ReadAsync(path, Stream.Null, CancellationToken.None));

        Assert.Equal(ExitCode.Data, e.Code);
        Assert.Contains("not UTF-8 text (byte 2)", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" \n\t\r\n ")]
    [InlineData("\uFEFF\n")]
    [InlineData("\u200B\u200D\u2060\u00AD\uFEFF")]
    [InlineData("\u3164\u2800\u00A0")]
    public async Task ReadAsync_NothingToRead_IsRefused(string text)
    {
        string path = _folder.File("empty.txt", System.Text.Encoding.UTF8.GetBytes(text));

        CommandException e = await Assert.ThrowsAsync<CommandException>(() => _reader.ReadAsync(path, Stream.Null, CancellationToken.None));

        Assert.Equal(ExitCode.Data, e.Code);
        Assert.Contains("is empty", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ReadAsync_ZeroBytes_IsRefused()
    {
        string path = _folder.File("binary", [(byte)'E', 0, (byte)'F']);

        CommandException e = await Assert.ThrowsAsync<CommandException>(() => _reader.ReadAsync(path, Stream.Null, CancellationToken.None));

        Assert.Contains("zero bytes", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ReadAsync_Folder_IsRefused()
    {
        CommandException e = await Assert.ThrowsAsync<CommandException>(() => _reader.ReadAsync(_folder.Path, Stream.Null, CancellationToken.None));

        Assert.Contains("is a folder", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ReadAsync_MissingFile_IsRefused()
    {
        string path = Path.Combine(_folder.Path, "no", "such.txt");

        CommandException e = await Assert.ThrowsAsync<CommandException>(() => _reader.ReadAsync(path, Stream.Null, CancellationToken.None));

        Assert.Contains("does not exist", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ReadAsync_MoreThanAnyWindow_StopsReading()
    {
        using EndlessStream input = new();

        CommandException e = await Assert.ThrowsAsync<CommandException>(() => _reader.ReadAsync("-", input, CancellationToken.None));

        Assert.Contains("larger than 64", e.Message, StringComparison.Ordinal);
    }

    private sealed class EndlessStream : Stream
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

        public override int Read(byte[] buffer, int offset, int count)
        {
            buffer.AsSpan(offset, count).Fill((byte)'x');
            return count;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
