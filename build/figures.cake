// Measurements, and the devices that they and the device tests run on.

void MeasureFigures() => Run("dotnet", ["run", "--project", "bench/EdgeKV.Figures", "-c", "Release"], environment: MeasuredDevice());

// Takes hours, and goes on with what artifacts/results has already.
void MeasureResults() =>
    Run("dotnet", ["run", "--project", "bench/EdgeKV.Figures", "-c", "Release", "--no-build", "--", "results", $"{artifacts}/results", "0"]);

// Vulkan leaves software devices out unless one is named.
Dictionary<string, string> DeviceEnvironment() =>
    Context.Environment.GetEnvironmentVariable("GGML_VK_VISIBLE_DEVICES") is null ? new() { ["GGML_VK_VISIBLE_DEVICES"] = "0" } : [];

// The same for what is compared with the CPU: a software device computes in f32 as the CPU does, does not spend minutes on optimising kernels that
// run for seconds, and has a driver that does not crash.
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

// Debian 12's software driver (Mesa 22.3) ruins the heap, and that of Debian's backports does not. The newer one is put into the per-user cache, not
// into the system. Null stands for the system's own.
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
