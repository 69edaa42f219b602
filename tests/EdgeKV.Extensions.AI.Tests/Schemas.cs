using System.Text.Json;

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>JSON schemas whose values are bounded, so that every answer ends.</summary>
internal static class Schemas
{
    public const string Colour = """{"type":"object","properties":{"colour":{"enum":["red","green"]}},"required":["colour"],"additionalProperties":false}""";

    public const string Nested = """
        {"type":"object","properties":{"size":{"type":"object","properties":{"metres":{"type":"integer","minimum":1,"maximum":99}},"required":["metres"],"additionalProperties":false},
        "tags":{"type":"array","items":{"enum":["a","b"]},"minItems":1,"maxItems":3}},"required":["size","tags"],"additionalProperties":false}
        """;

    public const string Text = """{"type":"object","properties":{"name":{"type":"string","maxLength":6},"open":{"type":"boolean"}},"required":["name","open"],"additionalProperties":false}""";

    public static JsonElement Parse(string schema) => JsonElement.Parse(schema);
}
