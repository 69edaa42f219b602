// The build. ./build.sh runs it and lists its targets; each step does nothing when nothing that it reads has changed.
//
//   native/llama.lock ─▶ packages (per-user cache) ─▶ pristine source ─▶ patched source ─▶ cmake, ninja ─▶ artifacts/native, artifacts/stock
//   charts.lock       ─▶ packages ─▶ artifacts/charts
//   src/              ─▶ dotnet publish ─▶ artifacts/app, artifacts/edgekv
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using IO = System.IO;

var root = Context.Environment.WorkingDirectory.FullPath;
var artifacts = $"{root}/artifacts";
var work = $"{artifacts}/build";
var fromSource = Argument("from-source", false);
var target = Argument("target", "default");

var backendNames = new[] { "cpu", "vulkan", "cuda", "cuda12" };
var backendAsked = Argument<string>("backend", null);
if (backendAsked is not null && !backendNames.Contains(backendAsked))
    Stop($"--backend {backendAsked}: there are {string.Join(", ", backendNames)}");

var system = (OperatingSystem.IsLinux() ? "linux" : OperatingSystem.IsMacOS() ? "mac" : "win")
    + (RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.Arm64 ? "-arm64" : "-x64");

// ---------------------------------------------------------------------------------------------------------------- targets

Task("native").Does(() => BuildNative(withVulkan: false));

Task("native-vulkan").Does(() => BuildNative(withVulkan: true));

Task("charts").Does(() => PlaceCharts());

Task("app").IsDependentOn("charts").Does(() => PublishApp());

Task("demo").IsDependentOn("native").IsDependentOn("app").Does(() =>
{
    var document = "samples/lighthouse.txt";
    var ask = new List<string> { "ask", "--document", document };
    foreach (var line in IO.File.ReadLines($"{root}/samples/questions.txt").Where(line => line.Contains('\t')).Take(2))
        ask.AddRange(["--question", line.Split('\t')[0]]);
    ask.AddRange(["--ratio", "0.8", "--compare"]);
    Console.WriteLine();
    Console.WriteLine("$ artifacts/edgekv " + string.Join(' ', ask.Select(a => a.Contains(' ') ? $"\"{a}\"" : a)));
    var code = Execute($"{artifacts}/edgekv", ask);
    if (code != 0)
        Environment.Exit(code);
});

Task("managed").Does(() =>
{
    var key = SourceHash("src", "tests", "bench", "samples");
    if (Fresh("managed", key, $"{artifacts}/bin"))
        return;
    Say("managed: dotnet build");
    Run("dotnet", ["build", "EdgeKV.sln", "-c", "Release", "--nologo", "-v", "quiet"], quiet: true);
    MarkFresh("managed", key);
});

Task("default").IsDependentOn("native").IsDependentOn("managed").IsDependentOn("app")
    .Does(() => Say("done: artifacts/edgekv --help"));

Task("test").IsDependentOn("native-vulkan").IsDependentOn("managed").IsDependentOn("app").Does(RunTests);

// On a real device, or on Debian's software one, whose driver ruins the heap now and then (docs/native.md): that is why `test` leaves it out.
Task("device").IsDependentOn("native-vulkan").IsDependentOn("managed").Does(() =>
    Run("dotnet", ["test", "--project", "tests/EdgeKV.ModelTests", "-c", "Release", "--no-build", "--filter-class", "*DeviceTests"], environment: MeasuredDevice()));

Task("figures").IsDependentOn("native-vulkan").Does(() =>
    Run("dotnet", ["run", "--project", "bench/EdgeKV.Figures", "-c", "Release"], environment: MeasuredDevice()));

// Hours. What artifacts/results has is gone on with.
Task("results").IsDependentOn("default").Does(() =>
    Run("dotnet", ["run", "--project", "bench/EdgeKV.Figures", "-c", "Release", "--no-build", "--", "results", $"{artifacts}/results", "0"]));

Task("sanitize").Does(() =>
{
    var build = Compile(PatchedSource(), sanitize: true);
    var result = RunNativeTests(build, $"{build}/bin");
    Say($"sanitize: {result.Passed} passed, {result.Failed} failed");
    if (result.Failed > 0 || result.Passed == 0)
        Environment.Exit(1);
});

Task("format").Does(() =>
{
    var check = Argument("check", false);
    Require(new Tool("clang-format", "clang-format"));
    var sources = IO.Directory.EnumerateFiles($"{root}/native", "*.*", SearchOption.AllDirectories).Where(f => f.EndsWith(".cpp") || f.EndsWith(".h"));
    var codes = new[]
    {
        Execute("clang-format", [.. check ? new[] { "--dry-run", "-Werror" } : ["-i"], .. sources]),
        Execute("dotnet", ["format", "EdgeKV.sln", .. check ? new[] { "--verify-no-changes" } : []]),
    };
    if (codes.Any(code => code != 0))
        Stop(check ? "not formatted: ./build.sh format does it" : "formatting failed");
});

Task("clean").Does(() => Delete(artifacts));

// Ends here when all went well: Cake's table of tasks would stand below the line that CI reads.
Teardown(context =>
{
    if (context.Successful)
        Environment.Exit(0);
});

RunTarget(target);

// ------------------------------------------------------------------------------------------------------- native: the steps

void BuildNative(bool withVulkan)
{
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

LlamaLock Lock() => LlamaLock.Read($"{root}/native/llama.lock");

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
        "-G", "Ninja", $"-DLLAMA_DIR={source}", $"-DLLAMA_TAG={pin.Tag}", $"-DEDGEKV_CPU_BACKEND={(cpuFromSource ? "ON" : "OFF")}",
    ];
    if (sanitize)
        // NDEBUG as in what is shipped: without it llama.cpp aborts where it else returns an error.
        options.AddRange(["-DEDGEKV_SANITIZE=address,undefined", "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG", "-DCMAKE_C_FLAGS_RELEASE=-O1 -DNDEBUG"]);
    else if (pin.Packages.TryGetValue($"{system}/cpu", out var package) && OperatingSystem.IsLinux())
        options.AddRange([$"-DPRISTINE_DIR={work}/llama.cpp-pristine", $"-DSTOCK_DIR={Unpack(package)}"]);

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

void Install(string build, SortedSet<string> backends)
{
    var pin = Lock();
    var engine = new Dictionary<string, string>();
    var stock = new Dictionary<string, string>();
    foreach (var library in IO.Directory.EnumerateFiles($"{build}/bin", "lib*").Where(f => f.EndsWith(".so") || f.EndsWith(".dylib")))
        engine[IO.Path.GetFileName(library)] = library;
    foreach (var backend in backends)
    {
        if (backend == "cpu" && engine.Keys.Any(n => n.StartsWith("libggml-cpu")) && !pin.Packages.ContainsKey($"{system}/cpu"))
            continue;
        if (!pin.Packages.TryGetValue($"{system}/{backend}", out var package))
            Stop($"there is no prebuilt {backend} backend for {system} in native/llama.lock; {(backend == "cpu" ? "build with --from-source" : "leave out --backend")}");
        foreach (var library in IO.Directory.EnumerateFiles(Unpack(package)))
        {
            var name = IO.Path.GetFileName(library);
            var isBackend = backend == "cpu" ? Regex.IsMatch(name, @"^libggml-(?!base).*\.so$") : name == $"libggml-{backend.TrimEnd('1', '2')}.so";
            if (isBackend && !(fromSource && backend == "cpu"))
                engine[name] = library;
            if (isBackend || (backend == "cpu" && (name == $"libllama.{pin.Tag}.so" || name == $"libggml.{pin.Tag}.so" || name == "libggml-base.so")))
                stock[name] = library;
        }
    }
    if (IO.File.Exists($"{build}/stock/stock"))
        stock["stock"] = $"{build}/stock/stock";
    var copied = Place(engine, $"{artifacts}/native") + Place(stock, $"{artifacts}/stock");
    if (copied > 0)
        Say($"native: artifacts/native with {string.Join(", ", backends)}");
    IO.File.WriteAllLines($"{work}/backends", backends);
    if (backends.FirstOrDefault(b => b.StartsWith("cuda")) is { } cuda)
        NameMissingCuda(cuda);
}

void NameMissingCuda(string backend)
{
    var missing = Regex.Matches(Capture("ldd", [$"{artifacts}/native/libggml-cuda.so"], mayFail: true), @"(\S+) => not found").Select(m => m.Groups[1].Value).ToArray();
    if (missing.Length > 0)
        Say($"{backend}: {string.Join(", ", missing)} not found on this machine: NVIDIA's driver brings libcuda, CUDA {(backend == "cuda" ? 13 : 12)} the others. Until then the backend does not load, and models run on the CPU.");
}

// -------------------------------------------------------------------------------------------------------------- packages

string CacheFolder()
{
    var given = Context.Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
    var home = Context.Environment.GetEnvironmentVariable("HOME");
    return !string.IsNullOrEmpty(given) ? $"{given}/edgekv" : !string.IsNullOrEmpty(home) ? $"{home}/.cache/edgekv" : $"{work}/cache";
}

string Fetch(Package package)
{
    var file = $"{CacheFolder()}/{package.File}";
    if (IO.File.Exists(file))
    {
        if (Sha256(file) == package.Sha256)
            return file;
        Say($"{file} is not what {package.Lock} names; downloading it again");
    }
    IO.Directory.CreateDirectory(CacheFolder());
    Require(new Tool("npm", "nodejs npm", Wanted: $"npm (to download {package.Name}; or put {package.File} into {CacheFolder()} yourself)"));
    Say($"packages: {package.Name} {package.Version}");
    var scratch = Scratch("npm");
    var (code, output) = Try("npm", ["pack", "--silent", "--pack-destination", scratch, $"{package.Name}@{package.Version}"], scratch);
    var got = IO.Directory.GetFiles(scratch, "*.tgz");
    if (code != 0 || got.Length != 1)
        Stop($"npm could not download {package.Name}@{package.Version}:\n{output}\nCheck the network and `npm config get registry`, or put {package.File} into {CacheFolder()} yourself.");
    var sum = Sha256(got[0]);
    if (sum != package.Sha256)
        Stop($"{package.Name}@{package.Version} is not what {package.Lock} names, so it is not used:\n  sha256 found  {sum}\n  sha256 wanted {package.Sha256}");
    // Two clones may fetch at the same time: the rename within the cache folder is what makes the file appear.
    var partial = $"{file}.{Environment.ProcessId}";
    IO.File.Copy(got[0], partial, overwrite: true);
    IO.File.Move(partial, file, overwrite: true);
    Delete(scratch);
    return file;
}

// The package's folder of libraries.
string Unpack(Package package)
{
    var name = IO.Path.GetFileNameWithoutExtension(package.File);
    var folder = $"{work}/{name}";
    if (!Fresh(name, package.Sha256, folder))
    {
        var file = Fetch(package);
        var scratch = Scratch("unpack");
        Run("tar", ["-xzf", file, "-C", scratch, "--strip-components=1", "package/bins"]);
        Delete(folder);
        IO.Directory.Move(scratch, folder);
        MarkFresh(name, package.Sha256);
    }
    return IO.Path.GetDirectoryName(IO.Directory.EnumerateFiles(folder, "libggml-*", IO.SearchOption.AllDirectories).First());
}

// The library that reports draw with: each package's file behind its licence, in the order that they load in.
void PlaceCharts()
{
    const string pinned = "src/Evaluation/Reports/charts.lock";
    var key = Hash([IO.File.ReadAllText($"{root}/{pinned}")]);
    var file = $"{artifacts}/charts/charts.js";
    if (Fresh("charts", key, file))
        return;
    var text = new System.Text.StringBuilder();
    foreach (var line in IO.File.ReadLines($"{root}/{pinned}").Where(l => l.Length > 0 && l[0] != '#'))
    {
        if (line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is not ["package", var name, var version, var sha256, var script])
            throw new FormatException($"{pinned}: '{line}' is no package");
        var archive = Fetch(new Package(name, version, sha256, pinned));
        var scratch = Scratch("charts");
        Run("tar", ["-xzf", archive, "-C", scratch, $"package/{script}", "package/LICENSE"]);
        text.Append($"/*! {name} {version}\n{IO.File.ReadAllText($"{scratch}/package/LICENSE").Trim()}\n*/\n{IO.File.ReadAllText($"{scratch}/package/{script}").Trim()}\n");
        Delete(scratch);
    }
    IO.Directory.CreateDirectory(IO.Path.GetDirectoryName(file));
    IO.File.WriteAllText(file, text.ToString());
    MarkFresh("charts", key);
}

// ---------------------------------------------------------------------------------------------------------------- managed

string SourceHash(params string[] folders)
{
    var files = folders.SelectMany(f => IO.Directory.EnumerateFiles($"{root}/{f}", "*", IO.SearchOption.AllDirectories))
        .Where(f => !f.Contains("/bin/") && !f.Contains("/obj/"))
        .Concat(new[] { "Directory.Build.props", "Directory.Packages.props", "global.json", ".editorconfig", "EdgeKV.sln" }.Select(f => $"{root}/{f}"));
    return Hash(files.Order(StringComparer.Ordinal).SelectMany(f => new[] { f, IO.File.ReadAllText(f) }));
}

void PublishApp()
{
    var key = SourceHash("src");
    if (!Fresh("app", key, $"{artifacts}/app/EdgeKV.App.dll"))
    {
        Say("app: dotnet publish");
        Run("dotnet", ["publish", "src/App/EdgeKV.App.csproj", "-c", "Release", "-o", $"{artifacts}/app", "--nologo", "-v", "quiet"], quiet: true);
        MarkFresh("app", key);
    }
    // A launcher rather than the app's own executable, which finds .NET only where a system-wide installer puts it.
    var launcher = $"{artifacts}/edgekv";
    var text = string.Join('\n',
    [
        "#!/bin/sh",
        "here=$(dirname \"$(readlink -f \"$0\")\")",
        $"dotnet=$(command -v dotnet || echo '{Environment.ProcessPath}')",
        "exec \"$dotnet\" \"$here/app/EdgeKV.App.dll\" \"$@\"",
        "",
    ]);
    if (!IO.File.Exists(launcher) || IO.File.ReadAllText(launcher) != text)
    {
        IO.File.WriteAllText(launcher, text);
        IO.File.SetUnixFileMode(launcher, (UnixFileMode)Convert.ToInt32("755", 8));
    }
}

// ------------------------------------------------------------------------------------------------------------------ tests

// Vulkan leaves software devices out unless one is named.
Dictionary<string, string> DeviceEnvironment() =>
    Context.Environment.GetEnvironmentVariable("GGML_VK_VISIBLE_DEVICES") is null ? new() { ["GGML_VK_VISIBLE_DEVICES"] = "0" } : [];

// The same for what is compared with the CPU: a software device computes in f32 as the CPU does, does not spend minutes on optimising kernels that run
// for seconds, and has a driver that comes through.
Dictionary<string, string> MeasuredDevice()
{
    var environment = DeviceEnvironment();
    if (environment.Count == 0 || IO.Directory.Exists("/dev/dri"))
        return environment;
    environment["GGML_VK_DISABLE_F16"] = "1";
    environment["GALLIVM_PERF"] = "nopt";
    if (SoftwareDriver() is { } driver)
        environment["VK_DRIVER_FILES"] = environment["VK_ICD_FILENAMES"] = driver;
    return environment;
}

// Debian 12's llvmpipe (Mesa 22.3) ruins the heap; that of its backports does not, and lies in the per-user cache, not in the system. Null: the system's own.
string SoftwareDriver()
{
    const string package = "mesa-vulkan-drivers";
    var installed = Capture("dpkg-query", ["-W", "-f=${Version}", package], mayFail: true);
    if (!int.TryParse(installed.Split('.')[0], out var major) || major > 22)
        return null;
    var folder = $"{CacheFolder()}/mesa";
    var manifest = $"{folder}/lvp.json";
    if (IO.File.Exists(manifest))
        return manifest;

    Say($"{package} {installed} ruins the heap: taking a newer one from Debian's backports");
    var part = $"{folder}.part";
    Delete(part);
    IO.Directory.CreateDirectory($"{part}/lists/partial");
    var site = Regex.Match(Capture("apt-get", ["indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"], mayFail: true), @"(?m)^(\S+) bookworm$");
    if (!site.Success)
        return null;
    IO.File.WriteAllText($"{part}/sources.list", $"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {site.Groups[1].Value} bookworm-backports main\n");
    string[] options = ["-qq", "-o", $"Dir::Etc::sourcelist={part}/sources.list", "-o", "Dir::Etc::sourceparts=-", "-o", $"Dir::State::lists={part}/lists", "-o", $"Dir::Cache={part}"];
    if (Try("apt-get", [.. options, "update"], part).Code != 0 || Try("apt-get", [.. options, "download", package], part).Code != 0)
    {
        Say("no newer one is to be had: device cases may be aborted by the driver");
        return null;
    }
    Run("dpkg", ["-x", IO.Directory.EnumerateFiles(part, "*.deb").Single(), $"{part}/root"], quiet: true);
    var library = IO.Directory.EnumerateFiles($"{part}/root", "libvulkan_lvp.so", IO.SearchOption.AllDirectories).Single();
    IO.File.WriteAllText($"{part}/lvp.json", $$"""{ "file_format_version": "1.0.0", "ICD": { "api_version": "1.3.0", "library_path": "{{library.Replace(part, folder)}}" } }""");
    IO.Directory.Move(part, folder);
    return manifest;
}

void RunTests()
{
    var results = $"{artifacts}/test-results";
    Delete(results);
    IO.Directory.CreateDirectory(results);
    var rows = new List<(string Name, TestCount Count)>();

    if (IO.Directory.Exists($"{root}/native/tests"))
        rows.Add(("native", RunNativeTests(Compile(PatchedSource(), sanitize: false), $"{artifacts}/native")));
    // Engines spin on every core: one process after another, and the models last.
    var modelTests = DeviceEnvironment();
    modelTests["MALLOC_ARENA_MAX"] = "2"; // else resident memory depends on which thread freed what
    foreach (var (name, project, filter, environment) in new (string, string, string[], Dictionary<string, string>)[]
    {
        ("EdgeKV.Tests", "EdgeKV.Tests", [], DeviceEnvironment()),
        ("EdgeKV.Native.Tests", "EdgeKV.Native.Tests", [], DeviceEnvironment()),
        ("EdgeKV.Evaluation.Tests", "EdgeKV.Evaluation.Tests", [], DeviceEnvironment()),
        ("EdgeKV.App.Tests", "EdgeKV.App.Tests", [], DeviceEnvironment()),
        ("EdgeKV.ModelTests", "EdgeKV.ModelTests", ["--filter-not-class", "*DeviceTests"], modelTests),
    })
    {
        Console.WriteLine();
        Say($"test: {name}");
        var report = $"{results}/{name}.xml";
        var inSkipped = false;
        var code = Relay("dotnet",
            ["test", "--project", $"tests/{project}", "-c", "Release", "--no-build", "--no-progress", "--timeout", project == "EdgeKV.ModelTests" ? "20m" : "5m",
                "--results-directory", results, "--report-xunit", "--report-xunit-filename", $"{name}.xml", .. filter],
            line => !(inSkipped = line.StartsWith("skipped ") || (inSkipped && line.StartsWith("  "))),
            environment);
        rows.Add((name, Read(report, code)));
        foreach (var reasons in Skips(report).GroupBy(r => r))
            Console.WriteLine($"  skipped {reasons.Count()}: {reasons.Key}");
    }

    Console.WriteLine();
    foreach (var (name, count) in rows)
        Console.WriteLine($"{name,-22} {count.Passed,5} passed {count.Failed,5} failed {count.Skipped,5} skipped");
    var (passed, failed, skipped) = (rows.Sum(r => r.Count.Passed), rows.Sum(r => r.Count.Failed), rows.Sum(r => r.Count.Skipped));
    var line = $"{passed} passed, {failed} failed" + (skipped > 0 ? $", {skipped} skipped" : "");
    IO.File.WriteAllText($"{results}/summary.txt", line + "\n");
    Console.WriteLine(line);
    if (failed > 0 || passed == 0)
        Environment.Exit(1);

    // A run that ends badly without a failed test (a crash, a timeout, no tests) counts as one.
    static TestCount Read(string file, int code)
    {
        var count = new TestCount(0, 0, 0);
        if (IO.File.Exists(file))
            foreach (var assembly in XDocument.Load(file).Descendants("assembly"))
                count = new(count.Passed + Number(assembly, "passed"), count.Failed + Number(assembly, "failed") + Number(assembly, "errors"), count.Skipped + Number(assembly, "skipped"));
        var onlySkipped = count is { Passed: 0, Failed: 0, Skipped: > 0 };
        return count.Failed == 0 && code != 0 && !onlySkipped ? count with { Failed = 1 } : count;
    }

    static IEnumerable<string> Skips(string file) =>
        IO.File.Exists(file) ? XDocument.Load(file).Descendants("reason").Select(r => r.Value.Trim()) : [];

    static int Number(XElement element, string name) => int.TryParse(element.Attribute(name)?.Value, out var n) ? n : 0;
}

// Every program of native/tests, with the backends of a folder: whole with one model, and what depends on how a model rotates with the others.
TestCount RunNativeTests(string build, string backends)
{
    var models = Capture("dotnet", ["run", "native/tests/tinymodel.cs"]).Split('\n').Where(l => l.EndsWith(".gguf")).ToArray();
    var total = new TestCount(0, 0, 0);
    foreach (var program in IO.Directory.EnumerateFiles($"{root}/native/tests", "*.cpp").Select(IO.Path.GetFileNameWithoutExtension).Order())
    foreach (var model in models)
    {
        Console.WriteLine();
        Say($"test: {IO.Path.GetFileName(build)}, {program}, {IO.Path.GetFileNameWithoutExtension(model)}");
        var counts = Match.Empty;
        var temporary = Scratch("native-tests");
        var code = Relay($"{build}/tests/{program}", [backends, model, temporary, .. model == models[0] ? Array.Empty<string>() : ["0", "rope"]], line =>
        {
            if (Regex.Match(line, @"^(\d+) passed, (\d+) failed") is { Success: true } match)
                counts = match;
            return true;
        });
        Delete(temporary);
        var (passed, failed) = counts.Success ? (int.Parse(counts.Groups[1].Value), int.Parse(counts.Groups[2].Value)) : (0, 0);
        // Whoever dies without a count has failed; so has a sanitizer's finding, which shows in the exit code only.
        total = new(total.Passed + passed, total.Failed + (failed == 0 && (code != 0 || !counts.Success) ? 1 : failed), 0);
    }
    return total;
}

// ------------------------------------------------------------------------------------------------------------------ tools

bool CanInstall() => OperatingSystem.IsLinux() && Environment.UserName == "root" && OnPath("apt-get");

// Installs what is missing where that is possible, else says what to install.
void Require(Tool tool)
{
    bool There() => tool.Works is null ? OnPath(tool.Name) : tool.Works();
    if (There() || (CanInstall() && InstallDebian(tool.DebianPackages) && There()))
        return;
    Stop($"{tool.Wanted ?? tool.Name} is missing. Install it and run this again (Debian, Ubuntu: apt-get install {tool.DebianPackages}).");
}

bool InstallDebian(string packages)
{
    Say($"installing {packages}");
    Dictionary<string, string> environment = new() { ["DEBIAN_FRONTEND"] = "noninteractive" };
    string[] install = ["install", "-y", "-qq", "--no-install-recommends", .. packages.Split(' ')];
    var (code, output) = Try("apt-get", install, root, environment);
    if (code != 0)
    {
        Try("apt-get", ["update", "-qq"], root, environment);
        (code, output) = Try("apt-get", install, root, environment);
    }
    if (code != 0)
        Console.Error.WriteLine(output);
    return code == 0;
}

bool OnPath(string name) => name.Contains('/')
    ? IO.File.Exists(name)
    : (Context.Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => IO.File.Exists($"{folder}/{name}"));

Version VersionOf(string name) =>
    OnPath(name) && Version.TryParse(Regex.Match(Capture(name, ["--version"], mayFail: true), @"\d+\.\d+(\.\d+)?").Value, out var version) ? version : null;

bool HasVulkan()
{
    var loader = new[] { "/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib" }.Any(f => IO.File.Exists($"{f}/libvulkan.so.1"));
    var driver = new[] { "/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d" }.Any(f => IO.Directory.Exists(f) && IO.Directory.EnumerateFiles(f, "*.json").Any());
    return loader && (driver || Context.Environment.GetEnvironmentVariable("VK_ICD_FILENAMES") is not null || Context.Environment.GetEnvironmentVariable("VK_DRIVER_FILES") is not null);
}

// -------------------------------------------------------------------------------------------------------------- processes

int Execute(string program, IEnumerable<string> arguments, Dictionary<string, string> environment = null)
{
    using var process = Process.Start(StartInfo(program, arguments, root, environment));
    process.WaitForExit();
    return process.ExitCode;
}

void Run(string program, IEnumerable<string> arguments, Dictionary<string, string> environment = null, bool quiet = false)
{
    var output = "";
    var code = 0;
    if (quiet)
        (code, output) = Try(program, arguments, root, environment);
    else
        code = Execute(program, arguments, environment);
    if (code != 0)
        Stop($"{output}\n{program} {string.Join(' ', arguments.Take(3))} … ended with {code}");
}

// Passes on the lines of output that `shown` wants.
int Relay(string program, IEnumerable<string> arguments, Func<string, bool> shown, Dictionary<string, string> environment = null)
{
    var info = StartInfo(program, arguments, root, environment);
    info.RedirectStandardOutput = info.RedirectStandardError = true;
    using var process = new Process { StartInfo = info };
    var turn = new object();
    void Line(object sender, DataReceivedEventArgs e)
    {
        lock (turn)
            if (e.Data is not null && shown(e.Data))
                Console.WriteLine(e.Data);
    }
    process.OutputDataReceived += Line;
    process.ErrorDataReceived += Line;
    process.Start();
    process.BeginOutputReadLine();
    process.BeginErrorReadLine();
    process.WaitForExit();
    return process.ExitCode;
}

string Capture(string program, IEnumerable<string> arguments, bool mayFail = false)
{
    var (code, output) = Try(program, arguments, root);
    if (code != 0 && !mayFail)
        Stop($"{output}\n{program} {string.Join(' ', arguments)} ended with {code}");
    return code == 0 || mayFail ? output.Trim() : "";
}

(int Code, string Output) Try(string program, IEnumerable<string> arguments, string folder, Dictionary<string, string> environment = null)
{
    var info = StartInfo(program, arguments, folder, environment);
    info.RedirectStandardOutput = info.RedirectStandardError = true;
    using var process = Process.Start(info);
    var errors = process.StandardError.ReadToEndAsync();
    var output = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    return (process.ExitCode, output + errors.Result);
}

ProcessStartInfo StartInfo(string program, IEnumerable<string> arguments, string folder, Dictionary<string, string> environment)
{
    var info = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder };
    foreach (var (name, value) in environment ?? [])
        info.Environment[name] = value;
    return info;
}

void Say(string text) => Console.WriteLine($"[edgekv] {text}");

void Stop(string text)
{
    Console.Error.WriteLine($"[edgekv] {text}");
    Environment.Exit(2);
}

// ------------------------------------------------------------------------------------------------------------------ files

bool Fresh(string step, string key, string result) =>
    IO.Path.Exists(result) && IO.File.Exists($"{work}/{step}.key") && IO.File.ReadAllText($"{work}/{step}.key") == key;

void MarkFresh(string step, string key) => IO.File.WriteAllText($"{work}/{step}.key", key);

string Hash(IEnumerable<string> parts) => Convert.ToHexString(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(string.Join('\0', parts))));

string Sha256(string file)
{
    using var stream = IO.File.OpenRead(file);
    return Convert.ToHexStringLower(SHA256.HashData(stream));
}

string Scratch(string name)
{
    var folder = $"{work}/{name}.new";
    Delete(folder);
    IO.Directory.CreateDirectory(folder);
    return folder;
}

void Delete(string folder)
{
    if (IO.Directory.Exists(folder))
        IO.Directory.Delete(folder, recursive: true);
}

// Makes `to` equal `from` and leaves files with equal content untouched. Returns how many changed.
int Mirror(string from, string to)
{
    var changed = 0;
    var wanted = IO.Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Select(f => IO.Path.GetRelativePath(from, f)).ToHashSet();
    if (IO.Directory.Exists(to))
        foreach (var file in IO.Directory.EnumerateFiles(to, "*", SearchOption.AllDirectories).Where(f => !wanted.Contains(IO.Path.GetRelativePath(to, f))))
        {
            IO.File.Delete(file);
            changed++;
        }
    foreach (var file in wanted)
    {
        var (source, copy) = ($"{from}/{file}", $"{to}/{file}");
        if (IO.File.Exists(copy) && IO.File.ReadAllBytes(source).AsSpan().SequenceEqual(IO.File.ReadAllBytes(copy)))
            continue;
        IO.Directory.CreateDirectory(IO.Path.GetDirectoryName(copy));
        IO.File.Copy(source, copy, overwrite: true);
        IO.File.SetLastWriteTimeUtc(copy, DateTime.UtcNow); // a copy keeps the old time, which ninja would not see
        changed++;
    }
    return changed;
}

// Makes the folder hold exactly these files (name -> source). A file is replaced by renaming, so that a program that has it mapped goes on.
int Place(Dictionary<string, string> files, string folder)
{
    var changed = 0;
    IO.Directory.CreateDirectory(folder);
    foreach (var file in IO.Directory.EnumerateFiles(folder).Where(f => !files.ContainsKey(IO.Path.GetFileName(f))))
    {
        IO.File.Delete(file);
        changed++;
    }
    foreach (var (name, source) in files)
    {
        var (from, to) = (new FileInfo(source), new FileInfo($"{folder}/{name}"));
        if (to.Exists && to.Length == from.Length && to.LastWriteTimeUtc == from.LastWriteTimeUtc)
            continue;
        IO.File.Copy(source, $"{to.FullName}.new", overwrite: true);
        IO.File.Move($"{to.FullName}.new", to.FullName, overwrite: true);
        changed++;
    }
    return changed;
}

// ------------------------------------------------------------------------------------------------------------------- data

record Tool(string Name, string DebianPackages, Func<bool> Works = null, string Wanted = null);

record TestCount(int Passed, int Failed, int Skipped);

// Lock: the file that pins it.
record Package(string Name, string Version, string Sha256, string Lock)
{
    // As npm pack names it.
    public string File => $"{Name.TrimStart('@').Replace('/', '-')}-{Version}.tgz";
}

record LlamaLock(string Tag, SortedDictionary<string, string> Trees, Dictionary<string, Package> Packages)
{
    public static LlamaLock Read(string file)
    {
        var pin = new LlamaLock("", new(StringComparer.Ordinal), []);
        foreach (var line in IO.File.ReadLines(file).Where(l => l.Length > 0 && l[0] != '#'))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            switch (words)
            {
                case ["tag", var tag]: pin = pin with { Tag = tag }; break;
                case ["tree", var path, var id]: pin.Trees[path] = id; break;
                case ["package", var use, var name, var version, var sha256]: pin.Packages[use] = new(name, version, sha256, "native/llama.lock"); break;
                default: throw new FormatException($"native/llama.lock: '{line}' is none of tag, tree, package");
            }
        }
        return pin;
    }
}
