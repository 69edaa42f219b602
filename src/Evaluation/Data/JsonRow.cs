using System.Text.Json;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>A JSON object of a data set and where it stands. What a reader needs and does not find is an error that says so.</summary>
/// <param name="Element">The object.</param>
/// <param name="Source">File and line, or file and place within it.</param>
/// <param name="Shape">What such an object has, as messages say it: "a sample of RULER has input and outputs".</param>
internal readonly record struct JsonRow(JsonElement Element, string Source, string Shape)
{
    public bool Has(string name) => Element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <exception cref="DatasetException">There is no such field, or it is no text.</exception>
    public string Text(string name)
    {
        JsonElement value = Required(name);
        return value.ValueKind == JsonValueKind.String ? Decoded(name, value) : throw Wrong($"the field \"{name}\" is {Kind(value)}, not a text");
    }

    /// <summary>A text that says something.</summary>
    /// <exception cref="DatasetException">There is no such field, it is no text, or it shows nothing to a reader.</exception>
    public string Filled(string name)
    {
        string text = Text(name);
        return PlainText.IsBlank(text) ? throw Wrong($"the field \"{name}\" is empty{Why(text)}") : text;
    }

    public string Text(string name, string otherwise) => Has(name) ? Text(name) : otherwise;

    /// <summary>A text or a number, as text: what names a sample.</summary>
    /// <exception cref="DatasetException">There is no such field, or it is neither.</exception>
    public string Name(string name)
    {
        JsonElement value = Required(name);
        return value.ValueKind == JsonValueKind.Number ? value.GetRawText() : Text(name);
    }

    /// <summary>One text or more, each of which says something; a lone text counts as one.</summary>
    /// <exception cref="DatasetException">There is no such field, it is neither a text nor a list of texts, or the list or a text is empty.</exception>
    public IReadOnlyList<string> Texts(string name)
    {
        JsonElement value = Required(name);
        return value.ValueKind == JsonValueKind.String ? [Filled(name)] : Listed(name, value);
    }

    /// <exception cref="DatasetException">There is no such field, or it is no whole number of at least <paramref name="least"/>.</exception>
    public int Number(string name, int least)
    {
        JsonElement value = Required(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= least
            ? number
            : throw Wrong($"the field \"{name}\" is {Kind(value)}, not a whole number of at least {least}");
    }

    /// <exception cref="DatasetException">There is no such field, or it is no number from 0 to 1.</exception>
    public double Share(string name)
    {
        JsonElement value = Required(name);
        return value.ValueKind == JsonValueKind.Number && value.GetDouble() is >= 0 and <= 1 and double share
            ? share
            : throw Wrong($"the field \"{name}\" is {Kind(value)}, not a number from 0 to 1");
    }

    /// <exception cref="DatasetException">There is no such field, or it is no list.</exception>
    public IEnumerable<JsonElement> List(string name)
    {
        JsonElement value = Required(name);
        return value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : throw Wrong($"the field \"{name}\" is {Kind(value)}, not a list");
    }

    /// <summary>An object within this one.</summary>
    /// <exception cref="DatasetException">It is no object.</exception>
    public JsonRow Inner(JsonElement element, string place)
    {
        JsonRow inner = new(element, $"{Source}, {place}", Shape);
        return element.ValueKind == JsonValueKind.Object ? inner : throw inner.Wrong($"this is {Kind(element)}, not an object");
    }

    public DatasetException Wrong(string what, Exception? inner = null) => new($"{Source}: {what}; {Shape}.", inner);

    internal static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => "a text",
        JsonValueKind.Number => $"the number {value.GetRawText()}",
        JsonValueKind.Null => "null",
        _ => "true or false",
    };

    private JsonElement Required(string name) =>
        Element.TryGetProperty(name, out JsonElement value) ? value : throw Wrong($"the field \"{name}\" is missing");

    private List<string> Listed(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Wrong($"the field \"{name}\" is {Kind(value)}, not a list of texts");
        }

        List<string> texts = [];
        foreach (JsonElement item in value.EnumerateArray())
        {
            string text = item.ValueKind == JsonValueKind.String ? Decoded(name, item) : throw Wrong($"the field \"{name}\" holds {Kind(item)}, not only texts");
            texts.Add(PlainText.IsBlank(text) ? throw Wrong($"the field \"{name}\" holds an empty text{Why(text)}") : text);
        }

        return texts.Count > 0 ? texts : throw Wrong($"the field \"{name}\" is an empty list");
    }

    // Whoever looks at the file does not see what is wrong.
    private static string Why(string text) => string.IsNullOrWhiteSpace(text) ? string.Empty : " (it has blanks and characters that nobody sees)";

    // JSON may escape half of a surrogate pair, which is no text, and zero, which ends a text for the tokenizer.
    private string Decoded(string name, JsonElement value)
    {
        try
        {
            string text = value.GetString()!;
            return text.Contains('\0', StringComparison.Ordinal) ? throw Wrong($"the field \"{name}\" has the character \\u0000, which is no text") : text;
        }
        catch (InvalidOperationException e)
        {
            throw Wrong($"the field \"{name}\" is not Unicode text", e);
        }
    }
}
