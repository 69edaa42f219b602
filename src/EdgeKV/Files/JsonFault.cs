using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace EdgeKV.Files;

/// <summary>Says what is wrong with JSON. The messages of .NET name types of this program, which nobody who has a damaged file can change.</summary>
public static partial class JsonFault
{
    /// <summary>What is wrong, in a few words without a full stop, and where.</summary>
    /// <param name="exception">What reading it threw.</param>
    public static string Of(JsonException exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        string line = exception.LineNumber > 0 ? $"line {exception.LineNumber + 1}, " : string.Empty;
        string place = exception.LineNumber is null ? string.Empty
            : string.Create(CultureInfo.InvariantCulture, $" ({line}byte {exception.BytePositionInLine + 1})");
        return What(exception) + place;
    }

    private static string What(JsonException exception)
    {
        string message = exception.Message;
        string name = Quoted().Match(message).Groups[1].Value;
        return exception switch
        {
            // A message of this program's own has no place, or one that was added to it.
            { LineNumber: null } when exception.GetType() == typeof(JsonException) => message.TrimEnd('.'),

            // Only the reader of .NET has an exception of a kind of its own.
            { InnerException: JsonException } => "it is no JSON",
            _ when exception.GetType() != typeof(JsonException) => "it is no JSON",
            _ when Lacking().Match(message) is { Success: true } lacking => $"it has no {lacking.Groups[1].Value.Replace('\'', '"')}",
            _ when message.StartsWith("Duplicate", StringComparison.Ordinal) => $"\"{name}\" is given twice",
            _ when message.Contains("null", StringComparison.Ordinal) && name.Length > 0 => $"\"{char.ToLowerInvariant(name[0])}{name[1..]}\" is null",
            _ when message.Contains("Path: ", StringComparison.Ordinal) || name.Length > 0 => $"{exception.Path ?? "a field"} has a value of the wrong kind",
            _ => message.TrimEnd('.'),
        };
    }

    [GeneratedRegex("'([^']+)'")]
    private static partial Regex Quoted();

    // A path follows, which begins with a dollar.
    [GeneratedRegex(@"required properties including: ((?:'[^']+'(?:, )?)+)")]
    private static partial Regex Lacking();
}
