using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.Figures;

/// <summary>Measures the device cases in processes of their own, since software devices have been seen to abort theirs (docs/internals/native.md).</summary>
/// <param name="Results">Of the cases that came through.</param>
/// <param name="Missed">Cases whose every attempt was aborted.</param>
/// <param name="Aborted">Processes that were aborted, of all attempts.</param>
internal sealed record DeviceRun(IReadOnlyList<DeviceResult> Results, int Missed, int Aborted)
{
    /// <summary>The argument that makes this program the one that measures.</summary>
    public const string Verb = "device";

    private const int Attempts = 6;
    private const string Mark = "result ";

    // A software device takes minutes to compile a kernel that its cache does not have yet.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    private static readonly JsonSerializerOptions Json = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    private static readonly (TinyModel Model, KvCacheType Type, int GpuLayers)[] Cases =
    [
        .. from model in new[] { TinyModel.LlamaGrouped, TinyModel.LlamaUngrouped, TinyModel.Qwen2, TinyModel.Qwen3 }
           from type in new[] { KvCacheType.F16, KvCacheType.Q8_0 }
           select (model, type, -1),
        (TinyModel.LlamaGrouped, KvCacheType.F16, 2),
    ];

    /// <summary>Measures all cases from this process.</summary>
    public static DeviceRun Measure()
    {
        List<DeviceResult> results = [];
        int missed = 0;
        int aborted = 0;
        for (int i = 0; i < Cases.Length; i++)
        {
            DeviceResult? result = null;
            for (int attempt = 0; result is null && attempt < Attempts; attempt++)
            {
                result = Child(i);
                aborted += result is null ? 1 : 0;
            }

            if (result is null)
            {
                missed++;
            }
            else
            {
                results.Add(result);
            }

            Console.WriteLine($"device case {i}: {(result is null ? "aborted every time" : "measured")}");
        }

        return new DeviceRun(results, missed, aborted);
    }

    /// <summary>What the child does: one case, its result on one line.</summary>
    public static int Run(int number)
    {
        var (model, type, layers) = Cases[number];
        DeviceResult result = Device.Measure(ExactnessCase.Of(model, context: 400, decoded: 24, prompt: 100), type, layers);
        Console.WriteLine(Mark + JsonSerializer.Serialize(result, Json));
        return 0;
    }

    private static DeviceResult? Child(int number)
    {
        using Process child = Process.Start(OwnProcess.Start(Verb, number.ToString(CultureInfo.InvariantCulture))) ?? throw new InvalidOperationException("Cannot start another process of this program.");
        Task<string> output = child.StandardOutput.ReadToEndAsync();
        if (!output.Wait(Patience))
        {
            child.Kill(entireProcessTree: true);
        }

        child.WaitForExit();
        string? line = output.Result.Split('\n').FirstOrDefault(l => l.StartsWith(Mark, StringComparison.Ordinal));
        return line is null ? null : JsonSerializer.Deserialize<DeviceResult>(line[Mark.Length..], Json);
    }
}
