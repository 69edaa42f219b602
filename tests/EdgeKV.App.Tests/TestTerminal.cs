using System.Text;
using EdgeKV.Cli.Terminals;

namespace EdgeKV.App.Tests;

/// <summary>A terminal that nobody watches, as in a pipe; keeps what was written.</summary>
internal sealed class TestTerminal : IDisposable
{
    private readonly StringWriter _out = new();
    private readonly StringWriter _error = new();

    public TestTerminal(string input = "") =>
        Terminal = new Terminal(new MemoryStream(Encoding.UTF8.GetBytes(input)), _out, _error, WatchedOut: false, WatchedError: false);

    public Terminal Terminal { get; }

    public string OutText => _out.ToString();

    public string ErrorText => _error.ToString();

    public void Dispose()
    {
        Terminal.Input.Dispose();
        _out.Dispose();
        _error.Dispose();
    }
}
