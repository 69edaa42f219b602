using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using EdgeKV.Models;

namespace EdgeKV.Measurements.Subjects;

/// <summary>How a plan is put over stock llama.cpp's full cache.</summary>
public enum StockMask
{
    /// <summary>Zeroes dropped columns of the softmax and divides by what is left. Needs flash attention off, so f16 or f32.</summary>
    Softmax,

    /// <summary>Gives flash attention a mask for each query head. Any cache type; CPU only.</summary>
    Flash,
}

/// <summary>
/// Stock, unpatched llama.cpp in a process of its own (native/stock): the baseline of every figure and the mask oracle. It shares no code
/// with the compact cache. Or LLamaSharp on its own libllama, which knows fewer verbs (<see cref="OfLLamaSharp"/>). Not thread-safe.
/// </summary>
public sealed class StockRunner : IDisposable
{
    private readonly Process _process;
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-stock-").FullName;
    private int _vocabulary;

    /// <summary>Starts the program.</summary>
    /// <param name="gpu">Loads the GPU backend as well.</param>
    /// <exception cref="FileNotFoundException">It has not been built.</exception>
    public StockRunner(bool gpu = false)
    {
        string path = Executable;
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"{path} is missing: run ./build.sh, or set EDGEKV_STOCK.", path);
        }

        List<string> arguments = gpu ? ["--gpu"] : [];
        if (Environment.GetEnvironmentVariable("EDGEKV_CPU") is { Length: > 0 } cpu)
        {
            arguments.AddRange(["--cpu", cpu]);
        }

        _process = Start(new ProcessStartInfo(path, arguments));
    }

    private StockRunner(ProcessStartInfo start) => _process = Start(start);

    /// <summary>The program: env EDGEKV_STOCK, else artifacts/stock/stock of the checkout.</summary>
    public static string Executable { get; } = Environment.GetEnvironmentVariable("EDGEKV_STOCK") is { Length: > 0 } path
        ? path
        : Path.Combine(Places.Checkout, "artifacts", "stock", "stock");

    /// <summary>Tokens that the cache holds, or the position of the next one.</summary>
    public int Position { get; private set; }

    /// <summary>Layers of the open model.</summary>
    public int Layers { get; private set; }

    /// <summary>Attention heads of a layer.</summary>
    public int Heads { get; private set; }

    /// <summary>KV heads of a layer.</summary>
    public int KvHeads { get; private set; }

    /// <summary>
    /// LLamaSharp on the libllama of its own backend package, which is what its users run: opens models, feeds and decodes, rolls back and clears.
    /// </summary>
    public static StockRunner OfLLamaSharp() => new(LLamaSharpProcess.Start("packaged", "serve"));

    /// <summary>Opens a model and makes an empty context. The model of the last call is kept when it is the same.</summary>
    public StockRunner Open(EngineOptions options)
    {
        JsonElement reply = Ask(
            "open",
            ("model", options.Model),
            ("type", options.Type.Name()),
            ("ctx", options.ContextSize),
            ("batch", options.BatchSize),
            ("threads", options.Threads),
            ("layers", options.GpuLayers),
            ("flash", options.Flash ? 1 : 0),
            ("hook", options.Hook ? 1 : 0));
        _vocabulary = reply.GetProperty("vocabulary").GetInt32();
        Layers = reply.GetProperty("layers").GetInt32();
        Heads = reply.GetProperty("heads").GetInt32();
        KvHeads = reply.GetProperty("kv_heads").GetInt32();
        Position = 0;
        return this;
    }

    /// <summary>Feeds tokens in batches; seconds.</summary>
    public double Prefill(ReadOnlySpan<int> tokens) => Timed(Ask("prefill", ("tokens", Write("tokens", tokens))));

    /// <summary>Feeds tokens one at a time, or as one prompt, and returns the logits after each.</summary>
    public Logits Decode(ReadOnlySpan<int> tokens, bool stepwise = true)
    {
        string logits = FileOf("logits");
        Timed(Ask("decode", ("tokens", Write("tokens", tokens)), ("single", stepwise ? 1 : 0), ("logits", logits)));
        return new Logits(ReadFloats(logits), _vocabulary);
    }

    /// <summary>Feeds tokens as <see cref="Decode"/> does; seconds.</summary>
    public double Time(ReadOnlySpan<int> tokens, bool stepwise = true) =>
        Timed(Ask("decode", ("tokens", Write("tokens", tokens)), ("single", stepwise ? 1 : 0)));

    /// <summary>Picks the most likely token and feeds it, up to count times; tokens must have been fed before.</summary>
    public int[] Greedy(int count, int stop = -1)
    {
        JsonElement reply = Ask("greedy", ("count", count), ("stop", stop));
        Timed(reply);
        return [.. reply.GetProperty("picked").EnumerateArray().Select(t => t.GetInt32())];
    }

    /// <summary>llama_memory_seq_rm of single positions.</summary>
    public void Remove(ReadOnlySpan<int> positions) => Ask("remove", ("positions", Write("positions", positions)));

    /// <summary>
    /// Saves the sequence, clears the cache and loads it again, so that later tokens come after the kept rows and not into the holes between
    /// them: the same rows, in the order in which a compact cache has them.
    /// </summary>
    public void Pack() => Ask("pack");

    /// <summary>llama_memory_seq_rm of everything from a position on.</summary>
    public void Rollback(int position)
    {
        Ask("rollback", ("position", position));
        Position = position;
    }

    /// <summary>Empties the cache.</summary>
    public void Clear()
    {
        Ask("clear");
        Position = 0;
    }

    /// <summary>Puts a plan as a mask over the cache, for all that is fed from now on. The cache must have been filled from 0, without holes.</summary>
    public void Mask(StockMask kind, Planning.CompressionPlan plan)
    {
        File.WriteAllBytes(FileOf("bits"), KeepBits.Of(plan));
        Ask("mask", ("kind", kind == StockMask.Flash ? "flash" : "softmax"), ("bits", FileOf("bits")), ("context", plan.ContextTokens));
    }

    /// <summary>Takes the mask off.</summary>
    public void Unmask() => Ask("mask", ("kind", "none"));

    /// <summary>
    /// Feeds tokens and gathers the attention weights that they give the first context positions: max and sum over the tokens,
    /// [layers, heads, context]. Needs Hook and no flash attention.
    /// </summary>
    public (float[] Max, float[] Sum) Score(ReadOnlySpan<int> tokens, int context)
    {
        string max = FileOf("max");
        string sum = FileOf("sum");
        Timed(Ask("score", ("tokens", Write("tokens", tokens)), ("context", context), ("max", max), ("sum", sum)));
        return (ReadFloats(max), ReadFloats(sum));
    }

    /// <summary>Tokens of a text, by the pre-tokenizer of that name (tokenizer.ggml.pre) in place of the model's own. No model stays open.</summary>
    public int[] Tokenize(string model, string preTokenizer, string text)
    {
        string tokens = FileOf("tokens");
        File.WriteAllText(FileOf("text"), text);
        Ask("tokenize", ("model", model), ("pre", preTokenizer), ("text", FileOf("text")), ("tokens", tokens));
        return MemoryMarshal.Cast<byte, int>(File.ReadAllBytes(tokens)).ToArray();
    }

    /// <summary>Names of ggml's devices.</summary>
    public IReadOnlyList<string> Devices() => [.. Ask("devices").GetProperty("devices").EnumerateArray().Select(d => d.GetString() ?? "")];

    /// <summary>llama_model_quantize to F16 or F32.</summary>
    public void Quantize(string from, string to, KvCacheType type) => Ask("quantize", ("from", from), ("to", to), ("type", type.Name()));

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.StandardInput.Close();
            if (!_process.WaitForExit(TimeSpan.FromSeconds(20)))
            {
                _process.Kill();
                _process.WaitForExit();
            }
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static Process Start(ProcessStartInfo start)
    {
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        start.UseShellExecute = false;
        return Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} did not start.");
    }

    private static float[] ReadFloats(string path) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(path)).ToArray();

    private double Timed(JsonElement reply)
    {
        Position = reply.GetProperty("position").GetInt32();
        return reply.GetProperty("seconds").GetDouble();
    }

    private string FileOf(string name) => Path.Combine(_folder, name);

    private string Write(string name, ReadOnlySpan<int> values)
    {
        File.WriteAllBytes(FileOf(name), MemoryMarshal.AsBytes(values));
        return FileOf(name);
    }

    private JsonElement Ask(string verb, params ReadOnlySpan<(string Key, object Value)> fields)
    {
        string line = verb;
        foreach (var (key, value) in fields)
        {
            line += string.Create(CultureInfo.InvariantCulture, $"\t{key}={value}");
        }

        _process.StandardInput.WriteLine(line);
        _process.StandardInput.Flush();
        string reply = _process.StandardOutput.ReadLine()
            ?? throw new InvalidOperationException($"The stock program ended during {verb}, exit code {ExitCode()}.");
        JsonElement json = JsonDocument.Parse(reply).RootElement;
        return json.GetProperty("ok").GetBoolean()
            ? json
            : throw new InvalidOperationException($"Stock llama.cpp, {verb}: {json.GetProperty("error").GetString()}");
    }

    private int ExitCode()
    {
        _process.WaitForExit();
        return _process.ExitCode;
    }
}
