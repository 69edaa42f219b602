namespace EdgeKV.Numerics;

/// <summary>
/// Random numbers by SplitMix64 (Steele, Lea and Flood 2014): a number's place in the sequence gives its value, so any part can be drawn in any order.
/// </summary>
internal static class SplitMix64
{
    /// <summary>64 random bits.</summary>
    /// <param name="place">Place in the sequence.</param>
    public static ulong Mix(ulong place)
    {
        place += 0x9E3779B97F4A7C15;
        place = (place ^ (place >> 30)) * 0xBF58476D1CE4E5B9;
        place = (place ^ (place >> 27)) * 0x94D049BB133111EB;
        return place ^ (place >> 31);
    }
}
