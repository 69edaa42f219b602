using System.Reflection;
using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>What a result was made with.</summary>
public static class Versions
{
    private const string Lock = "llama.lock";

    /// <summary>EdgeKV's version.</summary>
    public static string EdgeKV { get; } =
        typeof(EdgeModel).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>The tag of the llama.cpp that the native libraries are built from.</summary>
    public static string LlamaCpp { get; } = ReadTag();

    private static string ReadTag()
    {
        using StreamReader reader = new(typeof(Versions).Assembly.GetManifestResourceStream(Lock)!);
        while (reader.ReadLine() is { } line)
        {
            if (line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is ["tag", var tag, ..])
            {
                return tag;
            }
        }

        throw new InvalidOperationException($"{Lock} names no tag.");
    }
}
