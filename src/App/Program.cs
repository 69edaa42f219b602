using EdgeKV.Cli.Commands;
using EdgeKV.Cli.Terminals;

Terminal terminal = Terminal.FromProcess();
using Interruption interruption = new(terminal);
return await CommandLineApp.RunAsync(args, terminal, interruption.Token);
