using System.Diagnostics;
using System.Globalization;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.Json;
using LLama;
using LLama.Common;
using LLama.Native;

namespace EdgeKV.LLamaSharpRunner;

/// <summary>The verbs of native/stock that speeds are measured with, through LLamaSharp's own types.</summary>
internal sealed class Server
{
    private LLamaWeights? _weights;
    private LLamaContext? _context;
    private string? _model;
    private int _position;

    /// <summary>Answers requests until there are no more: a verb and key=value fields, tabs between them; a JSON object a line back.</summary>
    public void Run(TextReader requests, TextWriter replies)
    {
        while (requests.ReadLine() is { } line)
        {
            string[] parts = line.Split('\t');
            Dictionary<string, string> fields = parts.Skip(1).Select(part => part.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
            string reply;
            try
            {
                reply = JsonSerializer.Serialize(Answer(parts[0], fields));
            }
#pragma warning disable CA1031 // told to whoever asked
            catch (Exception e)
#pragma warning restore CA1031
            {
                reply = JsonSerializer.Serialize(new Dictionary<string, object> { ["ok"] = false, ["error"] = e.Message });
            }

            replies.WriteLine(reply);
            replies.Flush();
        }

        _context?.Dispose();
        _weights?.Dispose();
    }

    private Dictionary<string, object> Answer(string verb, Dictionary<string, string> fields)
    {
        Dictionary<string, object> reply = new() { ["ok"] = true };
        switch (verb)
        {
            case "open":
                Open(fields);
                reply["vocabulary"] = _context!.Vocab.Count;
                reply["layers"] = _weights!.NativeHandle.LayerCount;
                reply["heads"] = _weights.NativeHandle.HeadCount;
                reply["kv_heads"] = _weights.NativeHandle.KVHeadCount;
                break;
            case "prefill":
                reply["seconds"] = Timed(() => Feed(Read(fields["tokens"]), allLogits: false));
                break;
            case "decode":
                int[] tokens = Read(fields["tokens"]);
                using (FileStream? logits = fields.TryGetValue("logits", out string? file) ? File.Create(file) : null)
                {
                    reply["seconds"] = Timed(() =>
                    {
                        foreach (int[] step in fields["single"] == "1" ? tokens.Chunk(1) : [tokens])
                        {
                            Feed(step, allLogits: true, logits);
                        }
                    });
                }

                break;
            case "greedy":
                List<int> picked = [];
                reply["seconds"] = Timed(() => Greedy(int.Parse(fields["count"], CultureInfo.InvariantCulture), picked));
                reply["picked"] = picked;
                break;
            case "rollback":
                _position = int.Parse(fields["position"], CultureInfo.InvariantCulture);
                Live.NativeHandle.MemorySequenceRemove(LLamaSeqId.Zero, _position, -1);
                break;
            case "clear":
                Live.NativeHandle.MemoryClear();
                _position = 0;
                break;
            default:
                throw new InvalidOperationException($"There is no verb {verb}.");
        }

        reply["position"] = _position;
        return reply;
    }

    private LLamaContext Live => _context ?? throw new InvalidOperationException("No model is open.");

    private void Open(Dictionary<string, string> fields)
    {
        int batch = int.Parse(fields["batch"], CultureInfo.InvariantCulture);
        int threads = int.Parse(fields["threads"], CultureInfo.InvariantCulture);
        int layers = int.Parse(fields["layers"], CultureInfo.InvariantCulture);
        GGMLType type = fields["type"] switch
        {
            "f32" => GGMLType.GGML_TYPE_F32,
            "f16" => GGMLType.GGML_TYPE_F16,
            "q8_0" => GGMLType.GGML_TYPE_Q8_0,
            "q4_0" => GGMLType.GGML_TYPE_Q4_0,
            var other => throw new InvalidOperationException($"There is no cache type {other}."),
        };
        ModelParams parameters = new(fields["model"])
        {
            ContextSize = uint.Parse(fields["ctx"], CultureInfo.InvariantCulture),
            BatchSize = (uint)batch,
            UBatchSize = (uint)batch,
            Threads = threads,
            BatchThreads = threads,
            TypeK = type,
            TypeV = type,
            FlashAttention = fields["flash"] == "1",
            GpuLayerCount = layers < 0 ? int.MaxValue : layers,
        };
        _context?.Dispose();
        if (_model != parameters.ModelPath)
        {
            _weights?.Dispose();
            _weights = LLamaWeights.LoadFromFile(parameters);
            _model = parameters.ModelPath;
        }

        _context = _weights!.CreateContext(parameters);
        _position = 0;
    }

    private void Feed(int[] tokens, bool allLogits, Stream? logits = null)
    {
        for (int start = 0; start < tokens.Length; start += (int)Live.BatchSize)
        {
            int[] part = tokens[start..Math.Min(tokens.Length, start + (int)Live.BatchSize)];
            LLamaBatch batch = new();
            for (int i = 0; i < part.Length; i++)
            {
                batch.Add(part[i], _position + i, LLamaSeqId.Zero, allLogits || start + i == tokens.Length - 1);
            }

            DecodeResult result = Live.Decode(batch);
            if (result != DecodeResult.Ok)
            {
                throw new InvalidOperationException($"llama_decode gave {result}.");
            }

            _position += part.Length;
            for (int i = 0; logits is not null && i < part.Length; i++)
            {
                logits.Write(MemoryMarshal.AsBytes(Live.NativeHandle.GetLogitsIth(i)));
            }
        }

        Live.NativeHandle.Synchronize();
    }

    private void Greedy(int count, List<int> picked)
    {
        for (int i = 0; i < count; i++)
        {
            int token = TensorPrimitives.IndexOfMax<float>(Live.NativeHandle.GetLogitsIth(-1));
            picked.Add(token);
            Feed([token], allLogits: false);
        }
    }

    private static int[] Read(string path) => MemoryMarshal.Cast<byte, int>(File.ReadAllBytes(path)).ToArray();

    private static double Timed(Action work)
    {
        long start = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
