// llama.cpp, its patches and our own code to artifacts/native and artifacts/stock.

var fromSource = Argument("from-source", false);
var nativeIsBuilt = false;

var backendNames = new[] { "cpu", "vulkan", "cuda", "cuda12" };
var backendAsked = Argument<string>("backend", null);
if (backendAsked is not null && !backendNames.Contains(backendAsked))
    Stop($"--backend {backendAsked}: there are {string.Join(", ", backendNames)}");

// Once in a run: `test` asks for it with Vulkan first, and its other parts ask for it without.
void BuildNative(bool withVulkan)
{
    if (nativeIsBuilt)
        return;
    nativeIsBuilt = true;
    // LLamaSharp's ggml computes in OpenMP's threads. It is found missing here, rather than when the first model is loaded.
    if (OperatingSystem.IsLinux())
        Require(new Tool("libgomp.so.1", "libgomp1", () => HasLibrary("libgomp.so.1"), "OpenMP's runtime, libgomp.so.1,"));
    var backends = Backends(withVulkan);
    var source = PatchedSource();
    var build = Compile(source, sanitize: false);
    Install(build, backends);
}

// What was asked for, else what lies there; vulkan on top where a device, a software one perhaps, can run it.
SortedSet<string> Backends(bool withVulkan)
{
    var backends = new SortedSet<string> { "cpu" };
    if (backendAsked is not null)
        backends.Add(backendAsked);
    else if (IO.File.Exists($"{work}/backends"))
        backends.UnionWith(IO.File.ReadAllLines($"{work}/backends"));
    if (backends.Contains("vulkan"))
        Require(new Tool("Vulkan's loader and a driver", "libvulkan1 mesa-vulkan-drivers", HasVulkan));
    else if (withVulkan && backendAsked is null && Lock().Packages.ContainsKey($"{system}/vulkan"))
    {
        if (HasVulkan() || (CanInstall() && InstallDebian("libvulkan1 mesa-vulkan-drivers") && HasVulkan()))
            backends.Add("vulkan");
        else
            Say("no Vulkan device, not even a software one (Debian: libvulkan1 mesa-vulkan-drivers): what needs a device is skipped");
    }
    return backends;
}

string PristineSource()
{
    var folder = $"{work}/llama.cpp-pristine";
    var given = Context.Environment.GetEnvironmentVariable("EDGEKV_LLAMA_SOURCE");
    var pin = Lock();
    var key = Hash([pin.Tag, .. pin.Trees.Select(t => t.ToString()), given ?? pin.Packages["source"].Sha256]);
    if (Fresh("pristine", key, folder))
        return folder;

    var scratch = Scratch("source");
    string repository, commit;
    if (given is not null)
    {
        if (!IO.Directory.Exists(given))
            Stop($"EDGEKV_LLAMA_SOURCE: there is no folder {given}");
        repository = IO.Path.GetFullPath(given);
        var tag = Capture("git", ["-C", repository, "rev-parse", "-q", "--verify", $"refs/tags/{pin.Tag}^{{commit}}"], mayFail: true);
        commit = tag.Length > 0 ? tag : Capture("git", ["-C", repository, "rev-parse", "HEAD"]);
    }
    else
    {
        var package = Fetch(pin.Packages["source"]);
        Say($"source: llama.cpp {pin.Tag} from {pin.Packages["source"].Name}");
        Run("tar", ["-xzf", package, "-C", scratch, "package/llama/gitRelease.bundle"]);
        repository = $"{scratch}/git";
        Run("git", ["clone", "--quiet", "--bare", $"{scratch}/package/llama/gitRelease.bundle", repository]);
        commit = "HEAD";
    }
    foreach (var (path, wanted) in pin.Trees)
    {
        var found = Capture("git", ["-C", repository, "rev-parse", "-q", "--verify", $"{commit}:{path}"], mayFail: true);
        if (found != wanted)
            Stop($"{given ?? pin.Packages["source"].Name} is not llama.cpp {pin.Tag}: its {path}/ is the tree {(found.Length > 0 ? found : "(none)")}, native/llama.lock wants {wanted}");
    }
    Run("git", ["-C", repository, "archive", "--format=tar", $"--output={scratch}/source.tar", commit, .. pin.Trees.Keys, "CMakeLists.txt", "LICENSE"]);
    IO.Directory.CreateDirectory($"{scratch}/tree");
    Run("tar", ["-xf", $"{scratch}/source.tar", "-C", $"{scratch}/tree"]);
    Delete(folder);
    IO.Directory.Move($"{scratch}/tree", folder);
    Delete(scratch);
    MarkFresh("pristine", key);
    return folder;
}

// The patches go onto a fresh copy, of which only files that differ replace the ones that ninja has seen.
string PatchedSource()
{
    var pristine = PristineSource();
    var folder = $"{work}/llama.cpp";
    var patches = IO.Directory.Exists($"{root}/native/patches")
        ? IO.Directory.GetFiles($"{root}/native/patches", "*.patch").Order(StringComparer.Ordinal).ToArray() : [];
    var key = Hash([IO.File.ReadAllText($"{work}/pristine.key"), .. patches.SelectMany(p => new[] { IO.Path.GetFileName(p), IO.File.ReadAllText(p) })]);
    if (Fresh("patched", key, folder))
        return folder;

    var scratch = Scratch("patched");
    Run("cp", ["-a", $"{pristine}/.", scratch]);
    foreach (var patch in patches)
    {
        // Without the ceiling git finds our repository and takes the patch's paths for ours.
        var (code, output) = Try("git", ["apply", "--whitespace=nowarn", patch], scratch, new() { ["GIT_CEILING_DIRECTORIES"] = work });
        if (code != 0)
            Stop($"native/patches/{IO.Path.GetFileName(patch)} does not apply to llama.cpp {Lock().Tag} with the patches before it:\n{output}");
    }
    var built = IO.Directory.Exists(folder);
    var changed = Mirror(scratch, folder);
    Delete(scratch);
    Say($"patches: {patches.Length} applied{(built ? $", {changed} files differ from the last build" : "")}");
    MarkFresh("patched", key);
    return folder;
}

string Compile(string source, bool sanitize)
{
    Require(new Tool("cmake", "cmake", () => VersionOf("cmake") is { } v && v >= new Version(3, 20), "cmake 3.20 or newer"));
    Require(new Tool("ninja", "ninja-build"));
    var compiler = Context.Environment.GetEnvironmentVariable("CXX") ?? "c++";
    Require(new Tool(compiler, "g++", Wanted: "a C++17 compiler (g++)"));

    var pin = Lock();
    var cpuFromSource = fromSource || sanitize || !pin.Packages.ContainsKey($"{system}/cpu");
    var name = sanitize ? "sanitize" : cpuFromSource ? "native-source" : "native";
    var build = $"{work}/{name}";
    List<string> options =
    [
        "-G", "Ninja", $"-DLLAMA_DIR={source}", $"-DPRISTINE_DIR={work}/llama.cpp-pristine", $"-DLLAMA_TAG={pin.Tag}", $"-DEDGEKV_CPU_BACKEND={(cpuFromSource ? "ON" : "OFF")}",
    ];
    if (sanitize)
        // NDEBUG as in what is shipped: without it llama.cpp aborts where it else returns an error.
        options.AddRange(["-DEDGEKV_SANITIZE=address,undefined", "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG", "-DCMAKE_C_FLAGS_RELEASE=-O1 -DNDEBUG"]);
    else if (pin.Packages.TryGetValue($"{system}/cpu", out var package) && OperatingSystem.IsLinux())
        options.Add($"-DSTOCK_DIR={Unpack(package)}");

    var key = Hash(options.Append(compiler));
    if (!Fresh($"{name}-options", key, $"{build}/build.ninja"))
    {
        Delete(build);
        Run("cmake", ["-S", $"{root}/native", "-B", build, .. options], quiet: true);
        MarkFresh($"{name}-options", key);
    }
    // A unity file of llama.cpp takes a compiler about 1.5 GB.
    var jobs = Math.Clamp((int)(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 1.5e9), 1, Environment.ProcessorCount);
    var clock = Stopwatch.StartNew();
    string[] goals = options.Any(o => o.StartsWith("-DSTOCK_DIR")) && IO.Directory.Exists($"{root}/native/stock") ? ["engine", "stock"] : ["engine"];
    var steps = 0;
    // What ninja and cmake say of themselves is left out.
    var code = Relay("ninja", ["-C", build, "-j", $"{jobs}", .. goals],
        line => !Regex.IsMatch(line, "^(ninja: (Entering|no work)|-- |CMAKE_BUILD_TYPE|$)|Re-checking globbed|Re-running CMake") && ++steps > 0);
    if (code != 0)
        Stop($"{name}: ninja ended with {code}");
    if (steps > 0)
        Say($"{name}: compiled in {clock.Elapsed.TotalSeconds:F0} s");
    return build;
}

// engine/ holds our one library, ggml/ the ggml libraries that it can run on outside a LLamaSharp process, stock/ upstream's own build.
void Install(string build, SortedSet<string> backends)
{
    var pin = Lock();
    var engine = new Dictionary<string, string>();
    var ggml = new Dictionary<string, string>();
    var stock = new Dictionary<string, string>();
    foreach (var library in IO.Directory.EnumerateFiles($"{build}/bin", "lib*").Where(f => f.EndsWith(".so") || f.EndsWith(".dylib")))
        (IO.Path.GetFileNameWithoutExtension(library) == "libllama" ? engine : ggml)[IO.Path.GetFileName(library)] = library;
    foreach (var backend in backends)
    {
        if (backend == "cpu" && ggml.Keys.Any(n => n.StartsWith("libggml-cpu")) && !pin.Packages.ContainsKey($"{system}/cpu"))
            continue;
        if (!pin.Packages.TryGetValue($"{system}/{backend}", out var package))
            Stop($"there is no prebuilt {backend} backend for {system} in native/llama.lock; {(backend == "cpu" ? "build with --from-source" : "leave out --backend")}");
        foreach (var library in IO.Directory.EnumerateFiles(Unpack(package)))
        {
            var name = IO.Path.GetFileName(library);
            var isBackend = backend == "cpu" ? Regex.IsMatch(name, @"^libggml-(?!base).*\.so$") : name == $"libggml-{backend.TrimEnd('1', '2')}.so";
            if (isBackend && !(fromSource && backend == "cpu"))
                ggml[name] = library;
            if (isBackend || (backend == "cpu" && (name == $"libllama.{pin.Tag}.so" || name == $"libggml.{pin.Tag}.so" || name == "libggml-base.so")))
                stock[name] = library;
        }
    }
    if (IO.File.Exists($"{build}/stock/stock"))
        stock["stock"] = $"{build}/stock/stock";
    var copied = Place([], $"{artifacts}/native") + Place(engine, $"{artifacts}/native/engine") + Place(ggml, $"{artifacts}/native/ggml")
        + Place(stock, $"{artifacts}/stock");
    if (copied > 0)
        Say($"native: artifacts/native with {string.Join(", ", backends)}");
    IO.File.WriteAllLines($"{work}/backends", backends);
    if (backends.FirstOrDefault(b => b.StartsWith("cuda")) is { } cuda)
        NameMissingCuda(cuda);
}

void NameMissingCuda(string backend)
{
    var missing = Regex.Matches(Capture("ldd", [$"{artifacts}/native/ggml/libggml-cuda.so"], mayFail: true), @"(\S+) => not found").Select(m => m.Groups[1].Value).ToArray();
    if (missing.Length > 0)
        Say($"{backend}: {string.Join(", ", missing)} not found on this machine: NVIDIA's driver brings libcuda, CUDA {(backend == "cuda" ? 13 : 12)} the others. Until then the backend does not load, and models run on the CPU.");
}
