using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Models.Chat;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>A message as the template takes it.</summary>
/// <param name="Message">The message.</param>
/// <param name="Documents">The parts of it that are documents, ascending, 0-based.</param>
internal sealed record RequestMessage(ChatMessage Message, IReadOnlyList<int> Documents)
{
    /// <summary>Equal for messages that say the same. A hash, so that nobody keeps a document to compare it.</summary>
    public string Key { get; } = KeyOf(Message, Documents);

    private static string KeyOf(ChatMessage message, IReadOnlyList<int> documents)
    {
        IEnumerable<string?> calls = message.ToolCalls.SelectMany(call => (string?[])[call.Name, call.Arguments, call.Id]);
        IEnumerable<string> places = documents.Select(part => part.ToString(CultureInfo.InvariantCulture));
        string?[][] fields = [[message.Role], [.. message.Parts], [.. places], [message.Reasoning, message.ToolCallId, message.ToolName], [.. calls]];

        // Lengths before the texts, so that no text can look like two.
        StringBuilder all = new();
        foreach (string?[] field in fields)
        {
            all.Append(CultureInfo.InvariantCulture, $"{field.Length};");
            foreach (string? text in field)
            {
                all.Append(CultureInfo.InvariantCulture, $"{text?.Length ?? -1}:{text}");
            }
        }

        return Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(all.ToString())));
    }
}
