namespace EdgeKV.Engine;

/// <summary>
/// The tokens that a context was fed before its rows were given other positions. The rows that are left do not say any more whose turn of the conversation they
/// end in; these do.
/// </summary>
/// <param name="Ids">The ids of the positions that the rows were given, 0 to Ids.Length - 1; unknown where KV heads keep rows of different tokens.</param>
/// <param name="Fed">The ids of all tokens that were fed up to then.</param>
internal sealed record TokensAsFed(int[] Ids, int[] Fed)
{
    /// <summary>The tokens of a conversation: what was fed, in place of what is left of it.</summary>
    /// <param name="before">What was fed before; null: no rows were given other positions.</param>
    /// <param name="tokens">The ids of the positions now. Where they are not those that were given, the context was emptied meanwhile.</param>
    public static int[] Of(TokensAsFed? before, int[] tokens) =>
        before is not null && tokens.AsSpan().StartsWith(before.Ids) ? [.. before.Fed, .. tokens[before.Ids.Length..]] : tokens;
}
