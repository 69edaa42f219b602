namespace EdgeKV.Models.Chat;

/// <summary>Whose turn the tokens of a context end in.</summary>
public enum ConversationTurn
{
    /// <summary>There are no tokens yet.</summary>
    None,

    /// <summary>Tokens without a header of the model's chat template.</summary>
    Plain,

    /// <summary>Inside the user's turn: a question goes on in it.</summary>
    User,

    /// <summary>Inside the assistant's turn: a question ends it and begins the user's next turn.</summary>
    Assistant,

    /// <summary>After a turn that was ended: a question begins the user's next turn.</summary>
    Ended,
}
