using System.Text.Json;
using EdgeKV;
using EdgeKV.Engine;
using EdgeKV.LLamaSharpRunner;
using LLama.Native;

// LLamaSharp in a process of its own, since a process has one libllama. The first argument says which: "packaged", the one of LLamaSharp's backend package;
// "edgekv"; or "attached", EdgeKV's with every context attached.
//
// runner LIBRARY texts MODEL     what LLamaSharp's executors say, as a JSON object on the last line: name -> text
// runner LIBRARY serve           a line protocol on stdin and stdout, that of native/stock, with the verbs open, prefill, decode, greedy, rollback and clear
// runner LIBRARY late MODEL      makes ModelParams, then calls EdgeKVRuntime.Use() and attaches; prints what is thrown
// runner LIBRARY mapped ORDER    which libllama and ggml-base files are mapped after libmtmd was used first or last, one a line
if (args is not [var library and ("packaged" or "edgekv" or "attached"), var verb, .. var rest])
{
    Console.Error.WriteLine("The head of bench/EdgeKV.LLamaSharpRunner/Program.cs lists the arguments.");
    return 2;
}

if (library != "packaged" && verb != "late")
{
    EdgeKVRuntime.Use();
}

if (verb != "late")
{
    NativeLogConfig.llama_log_set(static (_, _) => { });
}

switch (verb, rest)
{
    case ("texts", [var model]):
        Console.WriteLine(JsonSerializer.Serialize(await Texts.AllAsync(
            model, context => { _ = library == "attached" ? KvContext.Attach(context) : null; }).ConfigureAwait(false)));
        return 0;

    case ("serve", []):
        new Server().Run(Console.In, Console.Out);
        return 0;

    case ("late", [var model]):
        Console.WriteLine(LateUse.Reason(model));
        return 0;

    case ("mapped", [var order]):
        foreach (string file in MappedLibraries.After(order))
        {
            Console.WriteLine(file);
        }

        return 0;

    default:
        Console.Error.WriteLine($"{verb} is no verb, or takes other arguments.");
        return 2;
}
