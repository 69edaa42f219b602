using System.Buffers.Binary;
using System.Security.Cryptography;
using EdgeKV.Files;

namespace EdgeKV.Models;

/// <summary>
/// Tells model files apart without reading all of them: SHA-256 over the length, the beginning (metadata and the list of tensors) and samples of
/// the rest, so that another quantisation or another training of the same model is another model.
/// </summary>
internal static class ModelFingerprint
{
    private const int Beginning = 1 << 20;
    private const int Samples = 32;
    private const int Sample = 1 << 14;

    /// <exception cref="ModelException">The file cannot be read.</exception>
    public static string Of(string path)
    {
        try
        {
            using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            using FileStream file = InputFile.Open(path);
            byte[] buffer = new byte[Beginning];
            BinaryPrimitives.WriteInt64LittleEndian(buffer, file.Length);
            hash.AppendData(buffer.AsSpan(0, sizeof(long)));
            hash.AppendData(buffer.AsSpan(0, file.ReadAtLeast(buffer, Beginning, throwOnEndOfStream: false)));
            for (int i = 1; i <= Samples; i++)
            {
                file.Position = Math.Max(0, (file.Length - Sample) / Samples * i);
                hash.AppendData(buffer.AsSpan(0, file.ReadAtLeast(buffer.AsSpan(0, Sample), Sample, throwOnEndOfStream: false)));
            }

            return Convert.ToHexStringLower(hash.GetHashAndReset());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelException($"The model {path} cannot be read any more: {e.Message.TrimEnd('.')}; put it back, and load it again.", e);
        }
    }
}
