using EdgeKV.Models.Chat;

namespace EdgeKV.Generation;

/// <summary>What an answer follows.</summary>
/// <param name="Tokens">The tokens that are fed before it.</param>
internal sealed record AnswerPrompt(int[] Tokens)
{
    /// <summary>What belongs to the answers of the chat template; null: tokens were given, with no template around them.</summary>
    public ChatPrompt? Chat { get; init; }

    /// <summary>Words that the answer begins with.</summary>
    public string Prefix { get; init; } = string.Empty;
}
