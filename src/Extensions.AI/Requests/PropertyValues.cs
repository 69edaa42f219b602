using System.Text.Json;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>Values of additional properties, which a program gives as numbers and booleans, and JSON as elements.</summary>
internal static class PropertyValues
{
    /// <exception cref="ArgumentException">The value is no boolean.</exception>
    public static bool Boolean(string name, object? value) => value switch
    {
        bool given => given,
        JsonElement { ValueKind: JsonValueKind.True } => true,
        JsonElement { ValueKind: JsonValueKind.False } => false,
        _ => throw Wrong(name, value, "true or false"),
    };

    /// <exception cref="ArgumentException">The value is no number.</exception>
    public static float Number(string name, object? value) => value switch
    {
        float given => given,
        double given => (float)given,
        decimal given => (float)given,
        int given => given,
        long given => given,
        JsonElement { ValueKind: JsonValueKind.Number } given => given.GetSingle(),
        _ => throw Wrong(name, value, "a number"),
    };

    private static ArgumentException Wrong(string name, object? value, string allowed) =>
        new($"The additional property \"{name}\" is {value ?? "null"}; give {allowed}.");
}
