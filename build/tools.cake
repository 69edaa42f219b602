// Paths, programs of the system, processes and files: what the other parts use.
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using IO = System.IO;

var root = Context.Environment.WorkingDirectory.FullPath;
var artifacts = $"{root}/artifacts";
var work = $"{artifacts}/build";

var system = (OperatingSystem.IsLinux() ? "linux" : OperatingSystem.IsMacOS() ? "mac" : "win")
    + (RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.Arm64 ? "-arm64" : "-x64");

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

bool HasLibrary(string name) => NativeLibrary.TryLoad(name, out _);

bool HasVulkan()
{
    var loader = new[] { "/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib" }.Any(f => IO.File.Exists($"{f}/libvulkan.so.1"));
    var driver = new[] { "/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d" }.Any(f => IO.Directory.Exists(f) && IO.Directory.EnumerateFiles(f, "*.json").Any());
    return loader && (driver || Context.Environment.GetEnvironmentVariable("VK_ICD_FILENAMES") is not null || Context.Environment.GetEnvironmentVariable("VK_DRIVER_FILES") is not null);
}

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

record Tool(string Name, string DebianPackages, Func<bool> Works = null, string Wanted = null);
