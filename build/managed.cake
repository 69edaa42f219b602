// C#: programs to artifacts/bin and artifacts/app.

void BuildManaged()
{
    var key = ProgramHash("src", "tests", "bench", "samples");
    if (Fresh("managed", key, $"{artifacts}/bin"))
        return;
    Say("managed: dotnet build");
    Run("dotnet", ["build", "EdgeKV.sln", "-c", "Release", "--nologo", "-v", "quiet"], quiet: true);
    MarkFresh("managed", key);
}

// Of a program's sources, and of what is copied beside it: our native library and the backend package of LLamaSharp that is asked for.
string ProgramHash(params string[] folders) => Hash(
[
    SourceHash(folders), Context.Environment.GetEnvironmentVariable("EdgeKVBackend") ?? "",
    .. IO.Directory.EnumerateFiles($"{artifacts}/native/engine").Order(StringComparer.Ordinal).Select(Sha256),
]);

string SourceHash(params string[] folders)
{
    var files = folders.SelectMany(f => IO.Directory.EnumerateFiles($"{root}/{f}", "*", IO.SearchOption.AllDirectories))
        .Where(f => !f.Contains("/bin/") && !f.Contains("/obj/"))
        .Concat(new[] { "Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props", "global.json", ".editorconfig", "EdgeKV.sln" }.Select(f => $"{root}/{f}"));
    return Hash(files.Order(StringComparer.Ordinal).SelectMany(f => new[] { f, IO.File.ReadAllText(f) }));
}

void PublishApp()
{
    var key = ProgramHash("src");
    if (!Fresh("app", key, $"{artifacts}/app/EdgeKV.App.dll"))
    {
        Say("app: dotnet publish");
        Delete($"{artifacts}/app");
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

void RunDemo()
{
    List<string> ask = ["ask", "--document", "samples/lighthouse.txt"];
    foreach (var line in IO.File.ReadLines($"{root}/samples/questions.txt").Where(line => line.Contains('\t')).Take(2))
        ask.AddRange(["--question", line.Split('\t')[0]]);
    ask.AddRange(["--ratio", "0.8", "--compare"]);
    Console.WriteLine();
    Console.WriteLine("$ artifacts/edgekv " + string.Join(' ', ask.Select(a => a.Contains(' ') ? $"\"{a}\"" : a)));
    var code = Execute($"{artifacts}/edgekv", ask);
    if (code != 0)
        Environment.Exit(code);
}

// Formats in place. With --check it only says whether it would.
void Format()
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
}
