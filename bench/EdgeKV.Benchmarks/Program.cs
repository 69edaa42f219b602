using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using EdgeKV.Benchmarks;

// The plans of all policies: dotnet run -c Release --project bench/EdgeKV.Benchmarks -- --filter '*'
// Of some: their names before the first option, as in -- snapkv ada --filter '*'
//
// In this process: a second build by BenchmarkDotNet would not know where the artifacts go.
IConfig config = DefaultConfig.Instance.AddJob(Job.Default
    .WithToolchain(new InProcessEmitToolchain(TimeSpan.FromHours(1), logOutput: true))
    .WithStrategy(RunStrategy.Monitoring)
    .WithWarmupCount(6)
    .WithIterationCount(9)
    .WithInvocationCount(1)
    .WithUnrollFactor(1));
PlanBenchmarks.Chosen = [.. args.TakeWhile(arg => !arg.StartsWith('-'))];
BenchmarkSwitcher.FromTypes([typeof(PlanBenchmarks)]).Run(args[PlanBenchmarks.Chosen.Count..], config);
