using EdgeKV;
using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Planning;
using LLama;
using LLama.Common;
using LLama.Native;
using LLama.Sampling;

EdgeKVRuntime.Use();
NativeLogConfig.llama_log_set((_, _) => { });

// The program's own LLamaSharp code. The executor feeds a prompt in one batch, so the batch is as large as the context.
var parameters = new ModelParams(ModelLocator.Find()) { ContextSize = 4096, BatchSize = 4096 };
using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
using LLamaContext context = weights.CreateContext(parameters);
using KvContext kv = KvContext.Attach(context);
var executor = new InteractiveExecutor(context);
string document = await File.ReadAllTextAsync(args[0]);
await executor.PrefillPromptAsync($"<|im_start|>user\n{document.TrimEnd()}\n\n");

CompressionReport report = await kv.CompressAsync(Budget.FromRatio(0.8));
Console.WriteLine($"{report.TotalRowsBefore} rows before, {report.TotalRowsAfter} after; {report.Scores}");

var inference = new InferenceParams { MaxTokens = 40, AntiPrompts = ["<|im_end|>"], SamplingPipeline = new GreedySamplingPipeline() };
await foreach (string piece in executor.InferAsync($"{args[1]}<|im_end|>\n<|im_start|>assistant\n", inference))
{
    Console.Write(piece);
}

Console.WriteLine();
