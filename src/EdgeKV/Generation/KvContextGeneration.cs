using EdgeKV.Engine;
using EdgeKV.Models.Chat;

namespace EdgeKV.Generation;

/// <summary>Generating answers in a context.</summary>
public static class KvContextGeneration
{
    extension(KvContext context)
    {
        /// <summary>
        /// Asks about what the context holds and streams the answer. The question goes where the conversation stands: on in a user's turn that a document began, or in a turn
        /// of its own. By default question and answer are taken back afterwards, so that many questions can be asked over one context.
        /// </summary>
        /// <param name="question">The question. Control tokens that it spells out stay plain text.</param>
        /// <param name="options">Length and sampling of the answer; null for the defaults.</param>
        /// <param name="cancellationToken">Stops the answer.</param>
        /// <returns>The answer's pieces; the whole answer is <see cref="Answer.Result"/> afterwards.</returns>
        /// <exception cref="ContextWindowException">The question does not fit on top of the context.</exception>
        /// <exception cref="UnsupportedModelException">The model has no chat template, or one that llama.cpp cannot apply.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Answer GenerateAsync(string question, GenerationOptions? options = null, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(question);
            options ??= new GenerationOptions();
            options.Validate();
            return new Answer(
                () => Task.FromResult(new AnswerScope(context)),
                view => Question(view, question, options),
                options,
                cancellationToken);
        }

        /// <summary>Continues given tokens, with no chat template around them; else as for a question.</summary>
        /// <param name="tokens">Fed on top of what the context holds; at least one.</param>
        /// <param name="options">Length and sampling; its AnswerPrefix is not used. Null for the defaults.</param>
        /// <param name="cancellationToken">Stops the generation.</param>
        /// <exception cref="ContextWindowException">The tokens do not fit.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Answer GenerateAsync(ReadOnlyMemory<int> tokens, GenerationOptions? options = null, CancellationToken cancellationToken = default)
        {
            ThrowIfNone(tokens);
            options ??= new GenerationOptions();
            options.Validate();
            return new Answer(() => Task.FromResult(new AnswerScope(context)), _ => new AnswerPrompt(tokens.ToArray()), options, cancellationToken);
        }

        /// <summary>
        /// Answers a conversation that a chat template wrote, of which the context holds the beginning: the answer keeps to the prompt's grammar, ends at its texts and can be taken
        /// apart. Else as for tokens.
        /// </summary>
        /// <param name="tokens">The last tokens of the prompt, which the context does not hold yet; at least one.</param>
        /// <param name="prompt">The whole prompt.</param>
        /// <param name="options">Length and sampling; its AnswerPrefix is not used. Null for the defaults.</param>
        /// <param name="cancellationToken">Stops the generation.</param>
        /// <exception cref="ContextWindowException">The tokens do not fit.</exception>
        /// <exception cref="OperationCanceledException">Cancelled.</exception>
        public Answer GenerateAsync(
            ReadOnlyMemory<int> tokens, ChatPrompt prompt, GenerationOptions? options = null, CancellationToken cancellationToken = default)
        {
            ThrowIfNone(tokens);
            ArgumentNullException.ThrowIfNull(prompt);
            options ??= new GenerationOptions();
            options.Validate();
            return new Answer(
                () => Task.FromResult(new AnswerScope(context)), _ => new AnswerPrompt(tokens.ToArray()) { Chat = prompt }, options, cancellationToken);
        }
    }

    /// <summary>A question after what a context holds.</summary>
    internal static AnswerPrompt Question(KvContext context, string question, GenerationOptions options)
    {
        CacheState state = CacheStateReader.Read(context.Native, context.Limit);
        int[] fed = TokensAsFed.Of(context.Native.BeforeRerotation, state.Tokens.ToArray());
        ChatFrame chat = context.Native.Chat;
        string prefix = options.AnswerPrefix ?? string.Empty;
        return new AnswerPrompt(chat.Ask(fed, state.Turn, question, prefix)) { Chat = chat.Answers, Prefix = prefix };
    }

    internal static void ThrowIfNone(ReadOnlyMemory<int> tokens)
    {
        if (tokens.IsEmpty)
        {
            throw new ArgumentException("There is no token to feed.", nameof(tokens));
        }
    }
}
