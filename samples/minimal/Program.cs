using EdgeKV.Compression;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;
using LLama.Native;

// llama.cpp logs to standard error by default.
NativeLogConfig.llama_log_set((_, _) => { });
using EdgeModel model = EdgeModel.Load(ModelLocator.Find());
using EdgeSession session = model.CreateSession();

// A question follows its last character.
string document = (await File.ReadAllTextAsync(args[0])).TrimEnd() + "\n\n";
await session.PrefillAsync(document);

CompressionReport report = await session.CompressAsync(Budget.FromRatio(0.8));
Console.WriteLine($"{report.TotalRowsBefore} rows before, {report.TotalRowsAfter} after; {report.Scores}");

foreach (string question in args.Skip(1))
{
    await foreach (string piece in session.GenerateAsync(question))
    {
        Console.Write(piece);
    }

    Console.WriteLine();
}
