using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace EdgeKV.Cli.Commands;

/// <summary>The usual help, and below it commands to copy and the exit codes.</summary>
internal sealed class HelpWithExamples(HelpAction usual) : SynchronousCommandLineAction
{
    private const string Root =
        """
        Examples:
          edgekv ask --document report.txt --question "Who wrote it?"
          edgekv info models/SmolLM2-135M-Instruct.Q4_1.gguf --memory 64MiB

        'edgekv ask --help' lists all options.
        """;

    private const string Ask =
        """
        Examples:
          Remove 80 % of the cache and compare with the full one:
            edgekv ask -d samples/lighthouse.txt -q "What is the name of the inspector?" --compare
          Keep within 16 MiB, read from a pipe, write JSON:
            cat report.txt | edgekv ask -d - -q "Who wrote it?" --kv-memory 16MiB --json > run.json
          Let the ratio follow the document, but remove at least half:
            edgekv ask -d report.txt -q "Who wrote it?" --threshold -6.5 --ratio 0.5
          Keep what a second reading looks at, for a document full of facts:
            edgekv ask -d report.txt -q "Who wrote it?" --score repeat
        """;

    private const string Bench =
        """
        Examples:
          Measure the bundled model and keep the figures:
            edgekv bench --json before.json
          Say what has changed since:
            edgekv bench --against before.json
          A quick look at one depth:
            edgekv bench --depths 1000 --cache-types f16 --prefills 1 --passes 0 --repeats 5

        docs/guide/bench.md defines the figures.
        """;

    public override int Invoke(ParseResult parseResult)
    {
        int code = usual.Invoke(parseResult);
        string? examples = parseResult.CommandResult.Command switch
        {
            { Name: CommandLineApp.Name } => Root,
            { Name: "ask" } => Ask,
            { Name: BenchCommand.Name } => Bench,
            _ => null,
        };
        TextWriter output = parseResult.InvocationConfiguration.Output;
        if (examples is not null)
        {
            output.WriteLine(examples);
            output.WriteLine();
        }

        output.WriteLine(ExitCodes.Help);

        return code;
    }
}
