using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Policies.Scorers;

/// <summary>What <see cref="CompressKV"/> has to know of a model, found once (arXiv 2508.02401, equations 5 and 8-12). Immutable; compares by value.</summary>
public sealed record CompressKVCalibration
{
    // Arrays of a profile's table.
    internal const string HeadScores = "head scores";
    internal const string Errors = "layer errors";

    // Of a layer, where scores tell: as the paper takes, or all that there are.
    private const int BestHeads = 4;

    // Errors that were written down and read again are a little off.
    private const double Tolerance = 1e-6;

    private readonly double[] _layerErrors;

    /// <summary>Copies and checks a calibration.</summary>
    /// <param name="heads">Attention heads of every layer whose attention judges, the best first: at least one each, the paper takes 4.</param>
    /// <param name="layerErrors">Errors of the layers with few rows, 0 and up, together 1: the larger, the more rows a layer gets.</param>
    /// <exception cref="ArgumentException">A layer has no head, or the errors are not of these layers, below 0, or not together 1.</exception>
    public CompressKVCalibration(HeadsByLayer heads, IEnumerable<double> layerErrors)
    {
        ArgumentNullException.ThrowIfNull(heads);
        ArgumentNullException.ThrowIfNull(layerErrors);
        Heads = heads;
        _layerErrors = [.. layerErrors];
        for (int layer = 0; layer < heads.Layers; layer++)
        {
            if (heads[layer].IsEmpty)
            {
                throw new ArgumentException($"Layer {layer} has no head whose attention could judge; name at least one.", nameof(heads));
            }
        }

        if (_layerErrors.Length != heads.Layers)
        {
            throw new ArgumentException($"There are errors of {_layerErrors.Length} layers and heads of {heads.Layers}.", nameof(layerErrors));
        }

        double sum = _layerErrors.Sum();
        if (_layerErrors.Any(error => !(error >= 0)) || !(Math.Abs(sum - 1) <= Tolerance))
        {
            throw new ArgumentException($"Layer errors are shares, 0 and up and together 1, not {sum}: divide them by their sum.", nameof(layerErrors));
        }
    }

    /// <summary>The calibration that a profile's table holds.</summary>
    /// <param name="table">A score of each attention head, and errors of the layers, [layers].</param>
    /// <exception cref="ProfileException">It is no such table.</exception>
    internal static CompressKVCalibration Of(ProfileTable table)
    {
        (HeadLayout layout, ReadOnlyMemory<float> scores) = table.ByHead(HeadScores);
        ReadOnlySpan<float> errors = table.Array(Errors, 1).Values.Span;
        double sum = 0;
        foreach (float error in errors)
        {
            sum += error;
        }

        try
        {
            return new CompressKVCalibration(BestOf(scores.Span, layout), [.. errors.ToArray().Select(error => error / sum)]);
        }
        catch (ArgumentException e)
        {
            throw new ProfileException($"The profile's table {table.Name} cannot be used: {e.Message}", e);
        }
    }

    /// <summary>The best heads of every layer by their scores, the lower head first among equal ones.</summary>
    /// <param name="scores">One of each attention head.</param>
    /// <param name="heads">Attention heads of each layer.</param>
    internal static HeadsByLayer BestOf(ReadOnlySpan<float> scores, HeadLayout heads)
    {
        float[] all = scores.ToArray();
        return new HeadsByLayer(Enumerable.Range(0, heads.Layers).Select(
            layer => Enumerable.Range(0, heads[layer]).OrderByDescending(head => all[heads.First(layer) + head]).Take(BestHeads)));
    }

    /// <summary>Attention heads of every layer whose attention judges, the best first.</summary>
    public HeadsByLayer Heads { get; }

    /// <summary>Errors of the layers with few rows, together 1.</summary>
    public ReadOnlySpan<double> LayerErrors => _layerErrors;

    /// <inheritdoc/>
    public bool Equals(CompressKVCalibration? other) =>
        other is not null && Heads.Equals(other.Heads) && _layerErrors.AsSpan().SequenceEqual(other._layerErrors);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(Heads);
        foreach (double error in _layerErrors)
        {
            hash.Add(error);
        }

        return hash.ToHashCode();
    }
}
