using System.Text;

namespace EdgeKV.Policies.Configuration;

/// <summary>How names of options are written and compared.</summary>
internal static class OptionName
{
    /// <summary>A name as people may write it: without case, hyphens and underscores.</summary>
    public static string Plain(string name) =>
        name.Replace("-", null, StringComparison.Ordinal).Replace("_", null, StringComparison.Ordinal).ToLowerInvariant();

    /// <summary>A name of code in kebab case: "ValueNorm" is "value-norm".</summary>
    public static string Kebab(string name)
    {
        var kebab = new StringBuilder();
        foreach (char letter in name)
        {
            if (char.IsUpper(letter) && kebab.Length > 0)
            {
                kebab.Append('-');
            }

            kebab.Append(char.ToLowerInvariant(letter));
        }

        return kebab.ToString();
    }
}
