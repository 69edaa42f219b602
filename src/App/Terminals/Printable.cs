using System.Globalization;
using System.Text;
using EdgeKV.Files;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace EdgeKV.Cli.Terminals;

/// <summary>
/// Shows control characters as JSON escapes such as \u001b. Paths, options, questions and answers come from anywhere, and a terminal obeys what is in them.
/// </summary>
internal static class Printable
{
    /// <summary>A text without control characters; lines and tabs stay.</summary>
    public static string Of(string text) => PlainText.Escaped(text, IsKept);

    // Windows ends lines with a carriage return too; elsewhere it lets a line be written over. Scripts need the characters that join letters and turn their order.
    private static bool IsKept(char letter) => !char.IsControl(letter) || letter is '\n' or '\t' || (letter == '\r' && OperatingSystem.IsWindows());

    /// <summary>Writes texts so to another writer.</summary>
    internal sealed class Writer(TextWriter inner) : TextWriter(CultureInfo.InvariantCulture)
    {
        public override Encoding Encoding => inner.Encoding;

        public override void Write(char value) => inner.Write(Of(value.ToString()));

        public override void Write(char[] buffer, int index, int count) => Write(new string(buffer, index, count));

        public override void Write(ReadOnlySpan<char> buffer) => Write(buffer.ToString());

        public override void Write(string? value) => inner.Write(Of(value ?? ""));

        public override void WriteLine(string? value) => inner.WriteLine(Of(value ?? ""));

        public override void Flush() => inner.Flush();
    }

    /// <summary>Has a console's tables show texts so. Colours are codes of the console's own and stay.</summary>
    internal sealed class Hook : IRenderHook
    {
        public IEnumerable<IRenderable> Process(RenderOptions options, IEnumerable<IRenderable> renderables) => renderables.Select(shown => new Shown(shown));

        private sealed class Shown(IRenderable inner) : IRenderable
        {
            public Measurement Measure(RenderOptions options, int maxWidth) => inner.Measure(options, maxWidth);

            public IEnumerable<Segment> Render(RenderOptions options, int maxWidth) => inner.Render(options, maxWidth)
                .Select(segment => segment.IsControlCode || segment.IsLineBreak ? segment : new Segment(Of(segment.Text), segment.Style));
        }
    }
}
