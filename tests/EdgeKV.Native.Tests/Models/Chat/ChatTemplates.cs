using EdgeKV.Measurements.Subjects;
using EdgeKV.Models.Chat;

namespace EdgeKV.Native.Tests;

/// <summary>Templates for tests: a short one, and upstream's collection.</summary>
internal static class ChatTemplates
{
    public const string ChatML =
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    public const string Missing = "There is no source of llama.cpp here, and its templates are in it (./build.sh native).";

    private static readonly string Folder = Path.Combine(Places.Checkout, "artifacts", "build", "llama.cpp-pristine", "models", "templates");

    /// <summary>Names of upstream's templates; one empty name where there are none.</summary>
    public static IEnumerable<string> Names => Directory.Exists(Folder)
        ? Directory.GetFiles(Folder, "*.jinja").Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal)
        : [string.Empty];

    public static string Source(string name)
    {
        Assert.SkipWhen(name.Length == 0 || !Directory.Exists(Folder), Missing);
        return File.ReadAllText(Path.Combine(Folder, name + ".jinja"));
    }

    public static ChatTemplate Of(string source) => new(model: null, source);
}
