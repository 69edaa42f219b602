using System.Globalization;
using System.Runtime.InteropServices;

namespace EdgeKV.Measurements;

/// <summary>Resident memory of this process.</summary>
public static partial class Resident
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

    /// <summary>
    /// The same after the C library has given back what it keeps of freed memory: tens of MiB that come and go and hide a leak.
    /// </summary>
    public static long BytesInUse()
    {
        _ = BytesWithoutGarbage();
        _ = TrimHeap(0);
        return Bytes();
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int TrimHeap(nuint pad);
}
