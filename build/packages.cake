// What is downloaded: pinned by version and sum, kept in a cache of the user.

LlamaLock Lock() => LlamaLock.Read($"{root}/native/llama.lock");

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
