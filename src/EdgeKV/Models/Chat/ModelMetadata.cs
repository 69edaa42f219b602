using System.Text;
using LLama.Native;

namespace EdgeKV.Models.Chat;

/// <summary>Metadata of a model's file.</summary>
internal static class ModelMetadata
{
    /// <summary>The value of a GGUF key as text; null when the model has no such key.</summary>
    public static string? Read(SafeLlamaModelHandle model, string key) =>
        // LLamaSharp copies the key into a pooled buffer and leaves out the zero that ends it, so that whatever the buffer held before would be a part of the key.
        model.MetadataValueByKey(key + '\0') is { } value ? Encoding.UTF8.GetString(value.Span) : null;
}
