// NuGet packages in artifacts/packages, and a try of them from an empty folder.

var packages = $"{artifacts}/packages";

void Pack()
{
    Require(new Tool("strip", "binutils"));
    var native = $"{work}/packed-native";
    var library = $"{native}/{system}/native/libllama.so";
    Delete(native);
    IO.Directory.CreateDirectory(IO.Path.GetDirectoryName(library));
    Run("strip", ["--strip-unneeded", "-o", library, $"{artifacts}/native/engine/libllama.so"]);
    if (Latin1(library).Contains(root))
        Stop($"{library} names a folder of this machine");

    Delete(packages);
    Delete($"{work}/pack"); // a changed property does not make an assembly anew
    // Objects of their own: what a package is built with differs from what the build tests. Paths in them are the repository's.
    string[] shared = ["-c", "Release", "--nologo", "-v", "quiet", "-o", packages, "-p:EdgeKVPack=true", "-p:ContinuousIntegrationBuild=true", $"-p:EdgeKVPackedNative={native}", $"-p:ArtifactsPath={work}/pack"];
    foreach (var project in new[] { "Native.Package/EdgeKV.Native.Package", "EdgeKV/EdgeKV", "Extensions.AI/EdgeKV.Extensions.AI" })
        Run("dotnet", ["pack", $"src/{project}.csproj", .. shared, "-p:EdgeKVLibraryPackage=true"], quiet: true);
    Run("dotnet", ["pack", "src/App/EdgeKV.App.csproj", .. shared, $"-p:EdgeKVNativeFolder={native}/{system}/native", $"-p:EdgeKVCharts={artifacts}/charts"], quiet: true);

    var version = PackedVersion();
    foreach (var (project, name) in new[] { ("EdgeKV/EdgeKV", "EdgeKV"), ("Extensions.AI/EdgeKV.Extensions.AI", "EdgeKV.Extensions.AI"), ("App/EdgeKV.App", "EdgeKV.Tool") })
        Run("dotnet", ["tool", "run", "dotnet-CycloneDX", "--", $"src/{project}.csproj", "-o", packages, "-fn", $"{name}.cdx.json", "-F", "Json", "-dpr", "-ed", "-sn", name, "-sv", version], quiet: true);

    foreach (var file in IO.Directory.EnumerateFiles(packages, "*.nupkg").Order(StringComparer.Ordinal))
    {
        CheckPackage(file);
        Say($"pack: {IO.Path.GetFileName(file)}, {new FileInfo(file).Length / 1048576.0:F1} MiB");
    }
    Say($"pack: the native library is there for {system} only");
}

string PackedVersion() => Regex.Match(IO.Directory.EnumerateFiles(packages, "EdgeKV.Tool.*.nupkg").Single(), @"EdgeKV\.Tool\.(.*)\.nupkg$").Groups[1].Value;

string Latin1(string file) => System.Text.Encoding.Latin1.GetString(IO.File.ReadAllBytes(file));

// What must be in a package, and what must not.
void CheckPackage(string file)
{
    using var archive = System.IO.Compression.ZipFile.OpenRead(file);
    var names = archive.Entries.Select(entry => entry.FullName).ToArray();
    foreach (var needed in new[] { "README.md", "THIRD-PARTY-NOTICES.txt" })
        if (!names.Contains(needed))
            Stop($"{file} holds no {needed}");
    if (IO.Path.GetFileName(file).StartsWith("EdgeKV.Tool.") && !names.Contains("tools/net10.0/any/charts/charts.js"))
        Stop($"{file} holds no charts.js, which reports are drawn with");
    foreach (var entry in archive.Entries)
    {
        if (Regex.IsMatch(entry.FullName, @"\.(gguf|edgekv)$"))
            Stop($"{file} holds {entry.FullName}: no package holds a model or a profile");
        if (!Regex.IsMatch(entry.Name, "^(EdgeKV.*[.]dll|lib.*[.]so|.*[.](targets|nuspec|xml|json))$"))
            continue;
        using var stream = entry.Open();
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        var text = System.Text.Encoding.Latin1.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
        // .NET keeps texts as UTF-16.
        if (text.Contains(root) || text.Contains(string.Join('\0', root.ToCharArray())))
            Stop($"{file}: {entry.FullName} names a folder of this machine");
    }
}

// Programs in an empty folder, which know the packages and the registry and nothing of this checkout.
void TryPackages()
{
    // Outside the checkout, whose build files would count else.
    var folder = IO.Directory.CreateTempSubdirectory("edgekv-packages-").FullName;
    var model = IO.Directory.EnumerateFiles($"{root}/models", "*.gguf").Order(StringComparer.Ordinal).First();
    var version = PackedVersion();
    var backend = XDocument.Load($"{root}/Directory.Packages.props").Descendants("PackageVersion").Single(p => (string)p.Attribute("Include") == "LLamaSharp.Backend.Cpu").Attribute("Version").Value;
    // A cache of its own: the version is the same after every build. What others made is taken from the user's cache.
    var cache = Context.Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? $"{Environment.GetFolderPath(Environment.SpecialFolder.UserProfile)}/.nuget/packages";
    var environment = new Dictionary<string, string> { ["NUGET_PACKAGES"] = $"{folder}/cache", ["EDGEKV_MODEL"] = model };
    string[] sources = [$"-p:RestoreAdditionalProjectSources={packages}", $"-p:RestoreFallbackFolders={cache}"];
    const string question = "What is the frequency of the wireless?";
    const string answer = "2187 kilohertz";

    foreach (var (name, sample) in new[] { ("facade", "minimal"), ("executor", "executor") })
    {
        var program = IO.Directory.CreateDirectory($"{folder}/{name}").FullName;
        IO.File.Copy($"{root}/samples/{sample}/Program.cs", $"{program}/Program.cs");
        IO.File.WriteAllText($"{program}/{name}.csproj", $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="EdgeKV" Version="{version}" />
                <PackageReference Include="LLamaSharp.Backend.Cpu" Version="{backend}" />
              </ItemGroup>
            </Project>
            """);
        Run("dotnet", ["build", program, "-c", "Release", "--nologo", "-v", "quiet", "-o", $"{program}/out", .. sources], environment: environment, quiet: true);
        Answers("dotnet", [$"{program}/out/{name}.dll", $"{root}/samples/lighthouse.txt", question], name);
    }

    var trimmed = $"{folder}/trimmed";
    var (code, output) = Try("dotnet", ["publish", $"{folder}/facade", "-c", "Release", "-r", system, "--self-contained", "-p:PublishTrimmed=true", "--nologo", "-o", trimmed, .. sources], folder, environment);
    if (code != 0)
        Stop($"trimmed publishing failed:\n{output}");
    if (output.Split('\n').FirstOrDefault(line => line.Contains("warning IL") && line.Contains("EdgeKV")) is { } warning)
        Stop($"EdgeKV's own assemblies give warnings when they are trimmed: {warning}");
    Answers($"{trimmed}/facade", [$"{root}/samples/lighthouse.txt", question], "trimmed");

    Run("dotnet", ["tool", "install", "EdgeKV.Tool", "--version", version, "--tool-path", $"{folder}/tool", "--add-source", packages], environment: environment, quiet: true);
    Answers($"{folder}/tool/edgekv", ["ask", "--document", $"{root}/samples/lighthouse.txt", "--question", question, "--ratio", "0.8"], "tool");
    Delete(folder);
    Say("pack-test: 4 passed, 0 failed");

    void Answers(string program, string[] arguments, string what)
    {
        var (code, output) = Try(program, arguments, folder, environment);
        if (code != 0 || !output.Contains(answer))
            Stop($"pack-test: {what} ended with {code} and did not answer \"{answer}\":\n{output}");
        Say($"pack-test: {what} answers");
    }
}
