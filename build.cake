// The build. ./build.sh runs it and lists its targets. A step does nothing when nothing that it reads has changed.
//
//   native/llama.lock ─▶ packages (per-user cache) ─▶ pristine source ─▶ patched source ─▶ cmake, ninja ─▶ artifacts/native, artifacts/stock
//   charts.lock       ─▶ packages ─▶ artifacts/charts
//   src/              ─▶ dotnet publish ─▶ artifacts/app, artifacts/edgekv
#load "build/tools.cake"
#load "build/packages.cake"
#load "build/native.cake"
#load "build/managed.cake"
#load "build/figures.cake"
#load "build/tests.cake"
#load "build/pack.cake"

Task("native").Does(() => BuildNative(withVulkan: false));
Task("native-vulkan").Does(() => BuildNative(withVulkan: true));
Task("charts").Does(PlaceCharts);
Task("managed").IsDependentOn("native").Does(BuildManaged);
Task("app").IsDependentOn("charts").IsDependentOn("native").Does(PublishApp);
Task("default").IsDependentOn("managed").IsDependentOn("app").Does(() => Say("done: artifacts/edgekv --help"));
Task("demo").IsDependentOn("app").Does(RunDemo);
Task("test").IsDependentOn("native-vulkan").IsDependentOn("managed").IsDependentOn("app").Does(RunTests);
Task("device").IsDependentOn("native-vulkan").IsDependentOn("managed").Does(RunDeviceTests);
Task("sanitize").Does(RunSanitizers);
Task("figures").IsDependentOn("native-vulkan").Does(MeasureFigures);
Task("results").IsDependentOn("default").Does(MeasureResults);
Task("pack").IsDependentOn("charts").IsDependentOn("native").Does(Pack);
Task("pack-test").IsDependentOn("pack").Does(TryPackages);
Task("format").Does(Format);
Task("clean").Does(() => Delete(artifacts));

// A run that went well ends here. Otherwise Cake writes its table of tasks below the line that CI reads.
Teardown(context =>
{
    if (context.Successful)
        Environment.Exit(0);
});

RunTarget(Argument("target", "default"));
