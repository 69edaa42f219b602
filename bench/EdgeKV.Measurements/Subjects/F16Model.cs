using System.Security.Cryptography;
using EdgeKV.Models;

namespace EdgeKV.Measurements.Subjects;

/// <summary>
/// The bundled model with its weights as F16, made by llama.cpp's own quantize call: what exactness is measured on, because products with
/// Q4_1 weights round activations to 8 bits and so amplify any other order of summation.
/// </summary>
public static class F16Model
{
    private static readonly Lazy<string> File = new(Make);

    /// <summary>The file, made in the temporary folder when it is not there yet.</summary>
    public static string Path => File.Value;

    private static string Make()
    {
        using FileStream source = System.IO.File.OpenRead(Places.Model);
        string hash = Convert.ToHexStringLower(SHA256.HashData(source))[..16];
        string path = System.IO.Path.Combine(Places.Cache, $"f16-{hash}.gguf");
        if (!System.IO.File.Exists(path))
        {
            string draft = $"{path}.{Environment.ProcessId}";
            using StockRunner stock = new();
            stock.Quantize(Places.Model, draft, KvCacheType.F16);
            System.IO.File.Move(draft, path, overwrite: true);
        }

        return path;
    }
}
