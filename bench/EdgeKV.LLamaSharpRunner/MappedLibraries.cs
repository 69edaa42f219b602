using LLama.Native;

namespace EdgeKV.LLamaSharpRunner;

/// <summary>Which files of llama.cpp are in the process.</summary>
internal static class MappedLibraries
{
    /// <summary>The files of libllama, libggml-base and libmtmd that are mapped once LLamaSharp has used llama and mtmd.</summary>
    /// <param name="order">"first": mtmd before anything else; "last": after llama.</param>
    public static IEnumerable<string> After(string order)
    {
        if (order == "last")
        {
            NativeApi.llama_empty_call();
        }

        _ = NativeApi.MtmdDefaultMarker();
        NativeApi.llama_empty_call();
        return
        [
            .. File.ReadLines("/proc/self/maps")
                .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Where(fields => fields.Length > 5)
                .Select(fields => fields[5])
                .Where(file => Path.GetFileName(file) is var name && (name.StartsWith("libllama", StringComparison.Ordinal)
                    || name.StartsWith("libggml-base", StringComparison.Ordinal)
                    || name.StartsWith("libmtmd", StringComparison.Ordinal)))
                .Distinct(),
        ];
    }
}
