// Native tests and test projects, and the count of both.

// On a real device, or on Debian's software one, whose driver ruins the heap now and then (docs/internals/native.md). Therefore `test` leaves it out.
void RunDeviceTests() =>
    Run("dotnet", ["test", "--project", "tests/EdgeKV.ModelTests", "-c", "Release", "--no-build", "--filter-class", "*DeviceTests"], environment: MeasuredDevice());

void RunSanitizers()
{
    var build = Compile(PatchedSource(), sanitize: true);
    var result = RunNativeTests(build, $"{build}/bin");
    Say($"sanitize: {result.Passed} passed, {result.Failed} failed");
    if (result.Failed > 0 || result.Passed == 0)
        Environment.Exit(1);
}

void RunTests()
{
    var results = $"{artifacts}/test-results";
    Delete(results);
    IO.Directory.CreateDirectory(results);
    var rows = new List<(string Name, TestCount Count)>();

    if (IO.Directory.Exists($"{root}/native/tests"))
        rows.Add(("native", RunNativeTests(Compile(PatchedSource(), sanitize: false), $"{artifacts}/native/ggml")));
    // A model computes on every core, so that test projects run one after another, those with models last.
    var modelTests = DeviceEnvironment();
    modelTests["MALLOC_ARENA_MAX"] = "2"; // else resident memory depends on which thread freed what
    foreach (var (name, project, filter, environment) in new (string, string, string[], Dictionary<string, string>)[]
    {
        ("EdgeKV.Tests", "EdgeKV.Tests", [], DeviceEnvironment()),
        ("EdgeKV.Native.Tests", "EdgeKV.Native.Tests", [], DeviceEnvironment()),
        ("EdgeKV.Evaluation.Tests", "EdgeKV.Evaluation.Tests", [], DeviceEnvironment()),
        ("EdgeKV.Extensions.AI.Tests", "EdgeKV.Extensions.AI.Tests", [], DeviceEnvironment()),
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
                "--results-directory", results, "--report-xunit-xml", "--report-xunit-xml-filename", $"{name}.xml", .. filter],
            line => !(inSkipped = line.StartsWith("skipped ") || (inSkipped && line.StartsWith("  "))),
            environment);
        rows.Add((name, Read(report, code)));
        foreach (var reasons in Skips(report).GroupBy(r => r))
            Console.WriteLine($"  skipped {reasons.Count()}: {reasons.Key}");
    }

    Console.WriteLine();
    foreach (var (name, count) in rows)
        Console.WriteLine($"{name,-26} {count.Passed,5} passed {count.Failed,5} failed {count.Skipped,5} skipped");
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

// Every program of native/tests, with the backends of a folder: all its tests with one model, those of rotation with the others, and those of what a cache holds where layers differ.
TestCount RunNativeTests(string build, string backends)
{
    var models = Capture("dotnet", ["run", "native/tests/tinymodel.cs"]).Split('\n').Where(l => l.EndsWith(".gguf")).ToArray();
    string[] TestsFor(string model) => model == models[0] ? []
        : Regex.IsMatch(IO.Path.GetFileName(model), "^(OpenElm|Deci)") ? ["0", "rope,plan,identity,kernels,state,growing,scores,chat,clear"] : ["0", "rope"];
    var total = new TestCount(0, 0, 0);
    foreach (var program in IO.Directory.EnumerateFiles($"{root}/native/tests", "*.cpp").Select(IO.Path.GetFileNameWithoutExtension).Order())
    foreach (var model in models)
    {
        Console.WriteLine();
        Say($"test: {IO.Path.GetFileName(build)}, {program}, {IO.Path.GetFileNameWithoutExtension(model)}");
        var counts = Match.Empty;
        var temporary = Scratch("native-tests");
        var code = Relay($"{build}/tests/{program}", [backends, model, temporary, .. TestsFor(model)], line =>
        {
            if (Regex.Match(line, @"^(\d+) passed, (\d+) failed") is { Success: true } match)
                counts = match;
            return true;
        });
        Delete(temporary);
        var (passed, failed) = counts.Success ? (int.Parse(counts.Groups[1].Value), int.Parse(counts.Groups[2].Value)) : (0, 0);
        // A program that dies without a count has failed. So has one with a sanitizer's finding, which shows in the exit code only.
        total = new(total.Passed + passed, total.Failed + (failed == 0 && (code != 0 || !counts.Success) ? 1 : failed), 0);
    }
    return total;
}

record TestCount(int Passed, int Failed, int Skipped);
