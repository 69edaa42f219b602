using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;

namespace EdgeKV.Cli.Commands;

/// <summary>Checks of a command line that are the same for all commands and options.</summary>
internal static class Arguments
{
    /// <summary>What the description of an option says that may be given several times; all others may not.</summary>
    public const string Repeatable = "may be given several times";

    // What help texts call the value of an option that names a file or a folder.
    private static readonly string[] Paths = ["FILE", "DIR", "PATH", "SET"];

    private const string RawArguments = "/proc/self/cmdline";

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>What is wrong with an option that the command does not have, which the parser would take for a file; null: nothing.</summary>
    public static string? Unknown(ParseResult parsed) => parsed.Tokens.Any(token => token.Type == TokenType.DoubleDash)
        ? null
        : parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(result => result.Tokens)
            .FirstOrDefault(token => token.Value is ['-', _, ..]) is { } unknown
            ? $"there is no option {unknown.Value}"
            : null;

    /// <summary>What is wrong with an option that is given twice; null: nothing.</summary>
    public static string? Repeated(CommandResult command) => command.Children.OfType<OptionResult>()
        .FirstOrDefault(result => result.IdentifierTokenCount > 1 && result.Option.Description?.Contains(Repeatable, StringComparison.Ordinal) != true)
        is { } twice
            ? $"{twice.Option.Name} is given {twice.IdentifierTokenCount} times; give it once{(twice.Option.HelpName?.Contains(',') == true ? ", with commas between its values" : "")}"
            : null;

    /// <summary>What is wrong with a file or folder that has no name, as an unset variable of a script gives it; null: nothing.</summary>
    public static string? Empty(CommandResult command) => command.Children
        .Where(result => result.Tokens.Any(token => token.Value.Length == 0))
        .Select(result => result switch
        {
            OptionResult { Option: { HelpName: { } help } option } when help.Split('|').Any(Paths.Contains) => option.Name,
            ArgumentResult argument => argument.Argument.Name,
            _ => null,
        })
        .FirstOrDefault(name => name is not null) is { } name
            ? $"{name} is empty; give it a name, or leave it out"
            : null;

    /// <summary>What is wrong with an argument that is no text; null: nothing.</summary>
    /// <param name="args">The arguments as .NET gives them.</param>
    public static string? NoText(IReadOnlyList<string> args)
    {
        for (int i = 0; i < args.Count; i++)
        {
            if (!IsUnicode(args[i]) || (args[i].Contains('\uFFFD', StringComparison.Ordinal) && !IsAsGiven(args, i)))
            {
                return $"argument {i + 1} ({args[i]}) is not UTF-8 text; write it in a terminal that uses UTF-8";
            }
        }

        return null;
    }

    private static bool IsUnicode(string text)
    {
        try
        {
            _ = Strict.GetByteCount(text);
            return true;
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }

    // .NET puts U+FFFD in place of invalid bytes. Linux shows what was given; elsewhere nothing tells the two apart, and hardly anybody types this character.
    private static bool IsAsGiven(IReadOnlyList<string> args, int index)
    {
        try
        {
            byte[][] given = [.. Split(File.ReadAllBytes(RawArguments))];
            return given.Length >= args.Count && Strict.GetString(given[given.Length - args.Count + index]) == args[index];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            return false;
        }
    }

    private static IEnumerable<byte[]> Split(byte[] all)
    {
        for (int start = 0; start < all.Length;)
        {
            int end = Array.IndexOf(all, (byte)0, start) is >= 0 and var found ? found : all.Length;
            yield return all[start..end];
            start = end + 1;
        }
    }
}
