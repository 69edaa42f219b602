using EdgeKV;
using EdgeKV.Policies;

using EdgeModel model = EdgeModel.Load(ModelLocator.Find());
using EdgeSession session = model.CreateSession();
await session.PrefillAsync(await File.ReadAllTextAsync(args[0]));

CompressionReport report = await session.CompressAsync(new KVCompose { Ratio = 0.8 });
Console.WriteLine($"{report.TotalRowsBefore} rows before, {report.TotalRowsAfter} after");

foreach (string question in args.Skip(1))
{
    await foreach (string piece in session.GenerateAsync(question))
    {
        Console.Write(piece);
    }

    Console.WriteLine();
}
