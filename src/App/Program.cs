using EdgeKV.Cli;
using EdgeKV.Cli.Commands;

return await CommandLineApp.RunAsync(args, Terminal.FromProcess());
