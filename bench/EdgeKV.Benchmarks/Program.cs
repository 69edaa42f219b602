using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using EdgeKV.Benchmarks;

// In this process: a second build by BenchmarkDotNet would not know where the artifacts go. For example: -- --filter '*'
IConfig config = DefaultConfig.Instance.AddJob(
    Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(3).WithIterationCount(10));
BenchmarkSwitcher.FromTypes([typeof(PlanBenchmarks)]).Run(args, config);
