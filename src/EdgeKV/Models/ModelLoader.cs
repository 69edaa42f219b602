using System.Runtime.ExceptionServices;
using EdgeKV.Files;
using LLama;
using LLama.Common;
using LLama.Exceptions;
using LLama.Native;

namespace EdgeKV.Models;

/// <summary>Loads weights through LLamaSharp, with errors that say what is wrong with the file.</summary>
internal static class ModelLoader
{
    /// <summary>Loads a model.</summary>
    /// <param name="path">The full path of the GGUF file.</param>
    /// <param name="options">How.</param>
    /// <param name="progress">Gets the share done, 0 to 1; what it throws stops the loading and is thrown again.</param>
    /// <param name="cancellationToken">Stops the loading.</param>
    /// <exception cref="ModelException">The file is missing, damaged or not readable.</exception>
    /// <exception cref="NativeLibraryException">The native library cannot be loaded.</exception>
    /// <returns>The weights, and how many layers GPUs have.</returns>
    /// <exception cref="GpuMissingException">Layers were asked to be put on a GPU and there is none, or none of that name.</exception>
    public static async Task<(LLamaWeights Weights, int GpuLayers)> LoadAsync(
        string path, ModelOptions options, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        Check(path);
        EdgeKVRuntime.EnsureLoaded();
        CheckDevices(options);
        int gpuLayers = options.GpuLayers ?? await Task.Run(() => GpuFit.Layers(path, options), cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();

        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Receiver receiver = new(progress, stop);
        ModelParams parameters = new(path)
        {
            GpuLayerCount = gpuLayers < 0 ? int.MaxValue : gpuLayers,
            Devices = [.. options.Devices],
            LoadMode = options.MemoryMap ? LLamaLoadMode.MemoryMap : LLamaLoadMode.None,
        };
        try
        {
            LLamaWeights weights = await LLamaWeights.LoadFromFileAsync(parameters, stop.Token, receiver).ConfigureAwait(false);

            // "All" becomes a number: the output layer is one of them.
            return (weights, gpuLayers < 0 ? weights.NativeHandle.LayerCount + 1 : Math.Min(gpuLayers, weights.NativeHandle.LayerCount + 1));
        }
        catch (OperationCanceledException) when (receiver.Error is { } error)
        {
            error.Throw();
            throw;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException($"Loading {path} was stopped.", cancellationToken);
        }
        catch (LoadWeightsFailedException e)
        {
            throw new ModelException($"The model {path} cannot be loaded: {NativeErrors.LoadError(path) ?? e.Message}", e);
        }
    }

    private static void CheckDevices(ModelOptions options)
    {
        ArgumentNullException.ThrowIfNull(options.Devices, nameof(ModelOptions.Devices));
        if (options.GpuLayers is null)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(options.FitContextSize, 1, nameof(ModelOptions.FitContextSize));
        }

        if (options.GpuLayers is not (null or 0) && !NativeApi.llama_supports_gpu_offload())
        {
            throw new GpuMissingException(
                "Layers were asked to be put on a GPU, and the backend has none. Reference LLamaSharp.Backend.Cuda12 or LLamaSharp.Backend.Vulkan, and check the GPU's driver.");
        }

        if (options.Devices.Count > 0)
        {
            string[] known = [.. BackendDevice.List().Where(device => device.IsGpu).Select(device => device.Name)];
            if (options.Devices.FirstOrDefault(name => !known.Contains(name)) is { } missing)
            {
                throw new GpuMissingException(
                    $"There is no GPU named {missing}. {(known.Length > 0 ? $"There {(known.Length == 1 ? "is" : "are")} {string.Join(", ", known)}." : "The backend has none.")}");
            }
        }
    }

    // llama.cpp's own messages for these cases speak of its loader, not of the file.
    private static void Check(string path)
    {
        try
        {
            using FileStream file = InputFile.Open(path);
            Span<byte> magic = stackalloc byte[4];
            if (file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) < magic.Length || !magic.SequenceEqual("GGUF"u8))
            {
                throw new ModelException($"The model {path} is not a GGUF file.");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelException($"The model {path} cannot be read: {e.Message.TrimEnd('.')}.", e);
        }
    }

    // An exception must not unwind through native frames: it is kept, and loading is stopped.
    private sealed class Receiver(IProgress<double>? progress, CancellationTokenSource stop) : IProgress<float>
    {
        public ExceptionDispatchInfo? Error { get; private set; }

        public void Report(float value)
        {
            try
            {
                progress?.Report(value);
            }
#pragma warning disable CA1031 // whatever it is, the caller gets it after the native call has ended
            catch (Exception e)
#pragma warning restore CA1031
            {
                Error ??= ExceptionDispatchInfo.Capture(e);
                stop.Cancel();
            }
        }
    }
}
