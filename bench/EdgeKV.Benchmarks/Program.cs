using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using EdgeKV.Benchmarks;

// The plans of all policies: dotnet run -c Release --project bench/EdgeKV.Benchmarks -- --filter '*'
//
// In this process: a second build by BenchmarkDotNet would not know where the artifacts go. Plans of all rows of keys and values take a minute
// and more, so few rounds of one plan each.
IConfig config = DefaultConfig.Instance.AddJob(Job.Default
    .WithToolchain(InProcessEmitToolchain.Instance)
    .WithStrategy(RunStrategy.Monitoring)
    .WithWarmupCount(1)
    .WithIterationCount(3)
    .WithInvocationCount(1)
    .WithUnrollFactor(1));
BenchmarkSwitcher.FromTypes([typeof(PlanBenchmarks)]).Run(args, config);
