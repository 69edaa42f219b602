using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>The tokens that task sets feed, as a model's chat template writes them.</summary>
public static class TaskTokens
{
    private const string Instruction = "\n\nRepeat the previous context exactly.";
    private const string PartInstruction = "\n\nRepeat the part of the previous context exactly, starting with";

    extension(EdgeModel model)
    {
        /// <summary>Positions that <see cref="TaskSet.Probe"/> takes behind a context.</summary>
        public int ProbeTokens => model.ProbeQuestion().Length;

        /// <summary>The general question that stands after a context when it looks at the context: see <see cref="TaskSet.Probe"/>.</summary>
        internal int[] ProbeQuestion() => model.TokenizeQuestion(ProbeTaskSet.Text);

        /// <summary>
        /// What stands between a context and its repetition when the repetition scores it: the instruction, and the change to the assistant's
        /// turn (the teacher of learned scores, after KVzip, arXiv 2505.23416). Without a chat template the instruction alone.
        /// </summary>
        internal int[] RepeatInstruction() => model.Chat.HasTemplate
            ? model.Chat.Close(Instruction, string.Empty, newTurn: false)
            : model.Tokenize(Instruction);

        /// <summary>
        /// What asks for one chunk of a context to be repeated (KVzip, arXiv 2505.23416): the instruction, for later chunks another one and the tokens
        /// that stand before the chunk, and the change to the assistant's turn; a line break without a chat template. Tokenized apart, as the
        /// reference does it.
        /// </summary>
        /// <param name="before">The end of the chunk before; empty for the first chunk.</param>
        internal int[] ReconstructionInstruction(ReadOnlySpan<int> before)
        {
            int[] change = model.Chat.HasTemplate ? model.Chat.Close(string.Empty, string.Empty, newTurn: false) : model.Tokenize("\n");
            return [.. model.Tokenize(before.IsEmpty ? Instruction : PartInstruction), .. before, .. change];
        }

        /// <summary>
        /// Which tokens are special ones and which are punctuation, as AnswerDotAI/cold-compress takes them for FastGen: a special token has no text, such as a turn's
        /// start, or ends generation; punctuation is a token of nothing but white space, punctuation of any script and symbols of ASCII. A part of a character
        /// is neither.
        /// </summary>
        /// <param name="tokens">The tokens.</param>
        /// <exception cref="EdgeKV.EdgeKVException">A token is not in the vocabulary.</exception>
        public TokenMasks MasksOf(ReadOnlySpan<int> tokens)
        {
            bool[] special = new bool[tokens.Length];
            bool[] punctuation = new bool[tokens.Length];
            Dictionary<int, (bool Special, bool Punctuation)> seen = [];
            for (int i = 0; i < tokens.Length; i++)
            {
                if (!seen.TryGetValue(tokens[i], out (bool, bool) classes))
                {
                    string text = model.Detokenize([tokens[i]]);
                    bool isSpecial = text.Length == 0 || model.IsEnd(tokens[i]);
                    classes = (isSpecial, !isSpecial && text.All(IsPunctuation));
                    seen.Add(tokens[i], classes);
                }

                (special[i], punctuation[i]) = classes;
            }

            return new TokenMasks(special, punctuation);
        }
    }

    /// <summary>How many of the context's first tokens are the chat template's, with the system prompt, and not the user's.</summary>
    internal static int PrefixLength(this IScoreContext context) =>
        context.Position == 0 ? 0 : context.Chat.OpeningLength(context.KnownTokens());

    private static bool IsPunctuation(char letter) =>
        char.IsWhiteSpace(letter) || char.IsPunctuation(letter) || (char.IsAscii(letter) && char.IsSymbol(letter));
}
