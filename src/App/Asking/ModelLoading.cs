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

    /// <summary>Loads the model, which may take seconds, and refuses one whose cache cannot be compressed.</summary>
    /// <exception cref="CommandException">With <see cref="ExitCode.Model"/>, or <see cref="ExitCode.Usage"/> where there is no GPU for the layers.</exception>
    public static async Task<EdgeModel> LoadAsync(string path, int gpuLayers, IProgress<double>? progress, CancellationToken ct)
    {
        Silence();
        EdgeModel? model = null;
        try
        {
            model = await Task.Run(() => EdgeModel.Load(path, new ModelOptions { GpuLayers = gpuLayers }, progress, ct), ct);
            model.EnsureSupported();
            return model;
        }
        catch (GpuMissingException e)
        {
            throw new CommandException(
                ExitCode.Usage,
                string.Create(CultureInfo.InvariantCulture, $"--gpu-layers {gpuLayers}: there is no GPU that this program can use; leave the option out, or install the GPU's driver and a program that was built for it."),
                e);
        }
        catch (EdgeKVException e) when (e is ModelException or UnsupportedModelException)
        {
            model?.Dispose();
            string message = e.Message.Contains(Path.GetFileName(path), StringComparison.Ordinal) ? e.Message : $"model {path}: {e.Message}";
            throw Wrong(message, NameAnother, e);
        }
    }

    // What goes wrong is said in one line of our own; llama.cpp's log would come between the answers.
    private static void Silence()
    {
        EdgeKVRuntime.Use();
        NativeLogConfig.llama_log_set(static (_, _) => { });
    }

    private static CommandException Wrong(string message, string remedy, EdgeKVException inner) => new(
        ExitCode.Model,
        message.Contains("--model", StringComparison.Ordinal) ? message : $"{message.TrimEnd('.', ' ')}. {remedy}",
        inner);
}
