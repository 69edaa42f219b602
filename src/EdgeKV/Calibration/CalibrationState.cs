using System.Runtime.InteropServices;
using System.Text;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Numerics;

namespace EdgeKV.Calibration;

/// <summary>How far a calibration is, and all that it needs to go on: written to a file whole or not at all.</summary>
internal sealed class CalibrationState
{
    private const string FirstLine = "EDGEKV-CALIBRATION 1\n";

    private readonly string _key;
    private readonly long[] _counters = new long[Enum.GetValues<Counter>().Length];

    /// <param name="model">Gives the sizes.</param>
    /// <param name="key">Tells apart calibrations that differ in anything.</param>
    public CalibrationState(EdgeModel model, string key)
    {
        _key = key;
        Equations = [.. model.Geometry.Layers.Select(layer => new NormalEquations(model.EmbeddingSize, layer.KvHeads))];
        Quality = new CalibrationQuality(model.Geometry.KvHeads);
    }

    /// <summary>What is counted.</summary>
    public enum Counter
    {
        /// <summary>Texts learned from.</summary>
        Texts,

        /// <summary>Tokens learned from.</summary>
        Tokens,

        /// <summary>Texts with sentences mixed in.</summary>
        Mixed,

        /// <summary>Texts checked with.</summary>
        Checked,

        /// <summary>Tokens checked with.</summary>
        CheckedTokens,
    }

    public NormalEquations[] Equations { get; }

    public CalibrationQuality Quality { get; }

    public ref long this[Counter counter] => ref _counters[(int)counter];

    /// <summary>Goes on from a file.</summary>
    /// <returns>Whether it is there.</returns>
    /// <exception cref="ProfileException">It cannot be read.</exception>
    public bool Read(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        try
        {
            using FileStream file = InputFile.Open(path);
            byte[] head = new byte[FirstLine.Length + _key.Length];
            file.ReadExactly(head);
            if (Encoding.ASCII.GetString(head) != FirstLine + _key)
            {
                throw new ProfileException($"{path} is no checkpoint of this calibration; move it away.");
            }

            file.ReadExactly(MemoryMarshal.AsBytes(_counters.AsSpan()));
            foreach (NormalEquations equations in Equations)
            {
                equations.Read(file);
            }

            Quality.Read(file);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ProfileException($"The checkpoint {path} cannot be read: {e.Message.TrimEnd('.')}. Delete it to begin anew.", e);
        }
    }

    /// <summary>Writes a file, and makes its folder where there is none.</summary>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public void Write(string path)
    {
        OutputFile.MakeFolder(path);
        OutputFile.Write(path, file =>
        {
            file.Write(Encoding.ASCII.GetBytes(FirstLine + _key));
            file.Write(MemoryMarshal.AsBytes(_counters.AsSpan()));
            foreach (NormalEquations equations in Equations)
            {
                equations.Write(file);
            }

            Quality.Write(file);
        });
    }
}
