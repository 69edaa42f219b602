using System.Collections;

namespace EdgeKV.Scoring;

/// <summary>Texts that compare by value, so that the records which hold them do too.</summary>
internal sealed class TextList : IReadOnlyList<string>, IEquatable<TextList>
{
    private readonly string[] _texts;

    private TextList(string[] texts) => _texts = texts;

    public int Count => _texts.Length;

    public string this[int index] => _texts[index];

    public static TextList From(IEnumerable<string> texts, string parameter)
    {
        ArgumentNullException.ThrowIfNull(texts, parameter);
        string[] copy = [.. texts];
        if (copy.Length == 0)
        {
            throw new ArgumentException("A task set needs at least one text.", parameter);
        }

        for (int i = 0; i < copy.Length; i++)
        {
            if (string.IsNullOrWhiteSpace(copy[i]))
            {
                throw new ArgumentException($"Text {i} of the task set is empty.", parameter);
            }
        }

        return new TextList(copy);
    }

    public IEnumerator<string> GetEnumerator() => ((IEnumerable<string>)_texts).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => _texts.GetEnumerator();

    public bool Equals(TextList? other) => other is not null && _texts.AsSpan().SequenceEqual(other._texts);

    public override bool Equals(object? obj) => Equals(obj as TextList);

    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (string text in _texts)
        {
            hash.Add(text, StringComparer.Ordinal);
        }

        return hash.ToHashCode();
    }

    public override string ToString() => $"[{string.Join(", ", _texts)}]";
}
