using EdgeKV.Models.Chat;

namespace EdgeKV.Extensions.AI.Contexts;

/// <summary>A conversation as the model's template writes it.</summary>
/// <param name="Chat">The template's text, with what belongs to the answer.</param>
/// <param name="Tokens">All its tokens.</param>
/// <param name="DocumentEnds">How many of them each document ends at that is to be compressed, ascending.</param>
/// <param name="Keys">What its messages say, as hashes.</param>
internal sealed record Prompt(ChatPrompt Chat, int[] Tokens, IReadOnlyList<int> DocumentEnds, IReadOnlyList<string> Keys);
