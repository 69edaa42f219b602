using System.Globalization;

namespace EdgeKV.Testing.Measurements;

/// <summary>Resident memory of this process.</summary>
public static class Resident
{
    /// <summary>Bytes that are resident now (VmRSS of /proc/self/status).</summary>
    public static long Bytes()
    {
        const string Key = "VmRSS:";
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(Key, StringComparison.Ordinal));
        return long.Parse(line[Key.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), CultureInfo.InvariantCulture) * 1024;
    }

    /// <summary>The same after a full collection, so that managed garbage does not count.</summary>
    public static long BytesWithoutGarbage()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        return Bytes();
    }
}
