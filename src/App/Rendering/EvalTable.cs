#pragma warning disable
using EdgeKV.Evaluation;
using Spectre.Console;
namespace EdgeKV.Cli.Rendering;
internal static class EvalTable { public static void Write(IAnsiConsole c, IReadOnlyList<CellResult> cells) { foreach (var g in cells.GroupBy(x => (x.Policy, x.Ratio))) c.WriteLine($"{g.Key}: {g.Average(x=>x.Score):0.00} n={g.Count()}"); } }
