using System.Globalization;

namespace EdgeKV.Cli;

/// <summary>Sizes as people write them: <c>64MiB</c>, <c>0.5GiB</c>, <c>1000000</c>. KiB is 1024 bytes, KB 1000.</summary>
internal static class ByteSize
{
    private static readonly (string Unit, double Bytes)[] Units =
    [
        ("KiB", 1024d), ("MiB", 1024d * 1024), ("GiB", 1024d * 1024 * 1024), ("TiB", 1024d * 1024 * 1024 * 1024),
        ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12),
        ("B", 1d),
    ];

    /// <summary>Reads a size of at least one byte. A fraction of a byte is dropped.</summary>
    public static bool TryParse(string? text, out long bytes)
    {
        bytes = 0;
        ReadOnlySpan<char> number = text.AsSpan().Trim();
        double factor = 1;
        foreach ((string unit, double unitBytes) in Units)
        {
            if (number.EndsWith(unit, StringComparison.OrdinalIgnoreCase))
            {
                factor = unitBytes;
                number = number[..^unit.Length].TrimEnd();
                break;
            }
        }

        if (!double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value))
        {
            return false;
        }

        double total = value * factor;
        if (!(total >= 1 && total < long.MaxValue))
        {
            return false;
        }

        bytes = (long)total;
        return true;
    }

    /// <summary>The size in the largest binary unit that leaves a number of at least 1, with three significant digits or so.</summary>
    public static string Format(long bytes)
    {
        string[] names = ["B", "KiB", "MiB", "GiB", "TiB"];
        double value = bytes;
        int unit = 0;
        while (value >= 1024 && unit < names.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        string digits = unit == 0 || value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00";
        return string.Create(CultureInfo.InvariantCulture, $"{value.ToString(digits, CultureInfo.InvariantCulture)} {names[unit]}");
    }
}
