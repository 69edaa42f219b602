using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using EdgeKV.Models;

namespace EdgeKV.Cli.Commands;

/// <summary><c>--gpu-layers</c> and <c>--device</c>, for every command that computes with a model.</summary>
internal sealed class GpuOptions
{
    private const string Auto = "auto";
    private const string All = "all";

    private readonly Option<string> _layers = new("--gpu-layers")
    {
        Description = "Layers to put on the GPU: a number, all, or auto for as many as fit [default: 0, with --device: auto]",
        HelpName = "auto|N|all",
        CustomParser = Layers,
    };

    private readonly Option<string[]> _devices = new("--device")
    {
        Description = "The GPUs to put layers on, by the names that edgekv devices lists, with commas between them",
        HelpName = "NAME,NAME,...",
        CustomParser = Devices,
    };

    public void AddTo(Command command)
    {
        command.Add(_layers);
        command.Add(_devices);
    }

    /// <summary>How the model is to be loaded.</summary>
    /// <param name="contextSize">Tokens of the context that has to fit beside the weights where the number of layers is to be found.</param>
    /// <param name="cacheType">Its cache type.</param>
    public ModelOptions Bind(ParseResult parsed, int contextSize, KvCacheType cacheType)
    {
        string[] devices = parsed.GetValue(_devices) ?? [];
        return new ModelOptions
        {
            GpuLayers = (parsed.GetValue(_layers) ?? (devices.Length > 0 ? Auto : "0")) switch
            {
                Auto => null,
                All => -1,
                string number => int.Parse(number, CultureInfo.InvariantCulture),
            },
            Devices = devices,
            FitContextSize = Math.Max(contextSize, 1),
            FitCacheType = cacheType,
        };
    }

    private static string? Layers(ArgumentResult result)
    {
        string text = result.Tokens.Count > 0 ? result.Tokens[^1].Value : string.Empty;
        if (new[] { Auto, All }.FirstOrDefault(word => word.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } found)
        {
            return found;
        }

        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && number >= -1)
        {
            return number.ToString(CultureInfo.InvariantCulture);
        }

        result.AddError($"--gpu-layers {text} must be auto, all, or a whole number from 0 to {int.MaxValue}");
        return null;
    }

    private static string[]? Devices(ArgumentResult result)
    {
        string text = result.Tokens.Count > 0 ? result.Tokens[^1].Value : string.Empty;
        string[] names = text.Split(',', StringSplitOptions.TrimEntries);
        if (names.Contains(string.Empty) || names.Distinct(StringComparer.Ordinal).Count() < names.Length)
        {
            result.AddError($"--device {text} must be names of GPUs, each once, for example CUDA0 or CUDA0,CUDA1");
            return null;
        }

        return names;
    }
}
