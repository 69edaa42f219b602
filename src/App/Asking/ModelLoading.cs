using System.Globalization;
using EdgeKV.Models;
using LLama.Native;

namespace EdgeKV.Cli.Asking;

/// <summary>Finds and loads the model, and adds to every failure what the user can do about it.</summary>
internal static class ModelLoading
{
    private const string NameOne = $"Name a GGUF file with --model or {ModelLocator.Variable}.";
    private const string NameAnother = $"Name another GGUF file with --model or {ModelLocator.Variable}.";

    /// <summary>The path of the model to load.</summary>
    /// <exception cref="CommandException">With <see cref="ExitCode.Model"/>.</exception>
    public static string Find(string? named)
    {
        try
        {
            return ModelLocator.Find(named);
        }
        catch (ModelException e)
        {
            throw Wrong(e.Message, NameOne, e);
        }
    }

    /// <summary>Loads the model onto the CPU, which may take seconds, and refuses one whose cache cannot be compressed.</summary>
    /// <inheritdoc cref="LoadAsync(string, ModelOptions, IProgress{double}?, CancellationToken)"/>
    public static Task<EdgeModel> LoadAsync(string path, IProgress<double>? progress, CancellationToken ct) => LoadAsync(path, new ModelOptions(), progress, ct);

    /// <summary>Loads the model, which may take seconds, and refuses one whose cache cannot be compressed.</summary>
    /// <exception cref="CommandException">With <see cref="ExitCode.Model"/>, or <see cref="ExitCode.Usage"/> where there is no GPU for the layers.</exception>
    public static async Task<EdgeModel> LoadAsync(string path, ModelOptions options, IProgress<double>? progress, CancellationToken ct)
    {
        Silence();
        EdgeModel? model = null;
        try
        {
            model = await Task.Run(() => EdgeModel.Load(path, options, progress, ct), ct);
            model.EnsureSupported();
            return model;
        }
        catch (GpuMissingException e)
        {
            string given = options.Devices.Count > 0 ? $"--device {string.Join(',', options.Devices)}" : $"--gpu-layers {(options.GpuLayers is { } n && n >= 0 ? n.ToString(CultureInfo.InvariantCulture) : "all")}";
            throw new CommandException(
                ExitCode.Usage,
                NativeApi.llama_supports_gpu_offload()
                    ? $"{given}: {e.Message} See edgekv devices."
                    : $"{given}: there is no GPU that this program can use; leave the option out, or install the GPU's driver and a program that was built for it.",
                e);
        }
        catch (EdgeKVException e) when (e is ModelException or UnsupportedModelException)
        {
            model?.Dispose();
            string message = e.Message.Contains(Path.GetFileName(path), StringComparison.Ordinal) ? e.Message : $"model {path}: {e.Message}";
            throw Wrong(message, NameAnother, e);
        }
    }

    /// <summary>What was chosen where the user left the number of layers to the program; null where it was asked for.</summary>
    public static string? Chosen(EdgeModel model, ModelOptions options) => options.GpuLayers is not null
        ? null
        : model.GpuLayers == 0
            ? "No layer is on a GPU: there is none, or its free memory is too small (edgekv devices lists them)."
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{model.GpuLayers} of {model.Weights.NativeHandle.LayerCount + 1} layers are on the GPU, as many as fit beside a context of {options.FitContextSize:N0} tokens.");

    /// <summary>Keeps llama.cpp's log to itself: what goes wrong is said in one line of our own, and the log would come between the answers.</summary>
    public static void Silence()
    {
        EdgeKVRuntime.Use();
        NativeLogConfig.llama_log_set(static (_, _) => { });
    }

    private static CommandException Wrong(string message, string remedy, EdgeKVException inner) => new(
        ExitCode.Model,
        message.Contains("--model", StringComparison.Ordinal) ? message : $"{message.TrimEnd('.', ' ')}. {remedy}",
        inner);
}
