namespace EdgeKV.Models.Chat;

/// <summary>A function that the model may call.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Description">What it does, for the model.</param>
/// <param name="Parameters">The JSON schema of its arguments, an object; null for a function without any.</param>
/// <remarks>
/// These texts become part of the prompt where control tokens are parsed, so a text with a control token in it is refused.
/// </remarks>
public sealed record ChatTool(string Name, string Description, string? Parameters = null);

/// <summary>A call of a function.</summary>
/// <param name="Name">The function's name.</param>
/// <param name="Arguments">Its arguments, a JSON object. Of an answer that is not complete, the beginning of one.</param>
/// <param name="Id">What the result refers to; null where the model gives none.</param>
public sealed record ChatToolCall(string Name, string Arguments, string? Id = null);

/// <summary>Whether an answer may or must call a tool.</summary>
public enum ChatToolChoice
{
    /// <summary>As the model decides.</summary>
    Auto,

    /// <summary>At least one call.</summary>
    Required,

    /// <summary>No call.</summary>
    None,
}
