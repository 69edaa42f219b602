using System.Reflection;
using System.Runtime.InteropServices;
using LLama.Native;

namespace EdgeKV.Native.Tests.Packaged;

/// <summary>
/// LLamaSharp passes structs of llama.h by value. The compiler that built our library says where each field lies; LLamaSharp's types must
/// have the same fields there. Sizes alone do not tell: b10068's llama_model_params is as large as LLamaSharp's and has other fields.
/// </summary>
public sealed class StructLayoutTests
{
    /// <summary>Fields that LLamaSharp names otherwise than llama.h, in lower case without underscores.</summary>
    private static readonly Dictionary<string, string> OtherNames = new()
    {
        ["contexttype"] = "ctxtype",
        ["llamapoolingtype"] = "poolingtype",
        ["llamaflashattntype"] = "flashattntype",
        ["defragthreshold"] = "defragthold",
        ["abortcallbackuserdata"] = "abortcallbackdata",
        ["tensortypes"] = "ttoverrides",
        ["tokens"] = "token",
        ["probability"] = "p",
        ["interface"] = "iface",
        ["context"] = "ctx",
        ["buffertype"] = "buft",
        ["intvalue"] = "vali64",
    };

    /// <summary>Fields of LLamaSharp's types that are no fields of llama.h: padding, and further names of a union.</summary>
    private static readonly HashSet<string> NotInTheHeader = ["PADDING", "FloatValue", "BoolValue", "StringValue"];

    public static TheoryData<string, string> Structs => new()
    {
        { "llama_model_params", "LLamaModelParams" },
        { "llama_context_params", "LLamaContextParams" },
        { "llama_model_quantize_params", "LLamaModelQuantizeParams" },
        { "llama_batch", "LLamaNativeBatch" },
        { "llama_token_data", "LLamaTokenData" },
        { "llama_token_data_array", "LLamaTokenDataArrayNative" },
        { "llama_sampler_chain_params", "LLamaSamplerChainParams" },
        { "llama_sampler_i", "LLamaSamplerINative" },
        { "llama_sampler", "LLamaSamplerNative" },
        { "llama_logit_bias", "LLamaLogitBias" },
        { "llama_model_kv_override", "LLamaModelMetadataOverride" },
        { "llama_model_tensor_buft_override", "LLamaModelTensorBufferOverride" },
        { "llama_perf_context_data", "LLamaPerfContextTimings" },
    };

    private delegate int StructSize(string name, out nuint size);

    private delegate int StructField(string name, int index, out nint field, out nuint offset, out nuint size);

    [Theory]
    [MemberData(nameof(Structs))]
    public void Fields_OfOurLibrary_LieWhereLLamaSharpHasThem(string native, string managed)
    {
        Type type = typeof(LLamaModelParams).Assembly.GetType($"LLama.Native.{managed}", throwOnError: true)!;
        Assert.Equal(0, Libraries.Function<StructSize>("edgekv_struct_size")(native, out nuint size));
        Assert.Equal((int)size, Marshal.SizeOf(type));
        Assert.Equal(FieldsOf(type), FieldsOf(native));
    }

    [Fact]
    public void Struct_Unknown_IsRefused() =>
        Assert.NotEqual(0, Libraries.Function<StructSize>("edgekv_struct_size")("llama_nothing", out _));

    private static IEnumerable<(string Name, int Offset)> FieldsOf(string structure)
    {
        StructField function = Libraries.Function<StructField>("edgekv_struct_field");
        for (int i = 0; function(structure, i, out nint name, out nuint offset, out _) == 0; i++)
        {
            yield return (Plain(Marshal.PtrToStringUTF8(name)!), (int)offset);
        }
    }

    private static IEnumerable<(string Name, int Offset)> FieldsOf(Type type) =>
        from field in type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
        where !NotInTheHeader.Contains(field.Name)
        let name = Plain(field.Name)
        select (OtherNames.GetValueOrDefault(name, name), (int)Marshal.OffsetOf(type, field.Name));

    private static string Plain(string name) => name.Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();
}
