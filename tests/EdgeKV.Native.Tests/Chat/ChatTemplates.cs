using System.Runtime.InteropServices;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
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
        EdgeKVRuntime.EnsureLoaded();
        return File.ReadAllText(Path.Combine(Folder, name + ".jinja"));
    }

    public static ChatTemplate Of(string source)
    {
        EdgeKVRuntime.EnsureLoaded();
        return new ChatTemplate(model: null, source);
    }

    /// <summary>The struct llama_model behind a model, which the model goes on owning.</summary>
    public static SafeHandle Handle(EdgeModel model) => new Borrowed(Marshal.ReadIntPtr(model.Handle.DangerousGetHandle()));

    private sealed class Borrowed : SafeHandle
    {
        public Borrowed(nint pointer)
            : base(0, ownsHandle: false) => SetHandle(pointer);

        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle() => true;
    }
}
