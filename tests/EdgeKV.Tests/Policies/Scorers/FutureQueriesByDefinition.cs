using EdgeKV.Scoring;
using MathNet.Numerics.LinearAlgebra;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>The queries to be expected after a context, with whole matrices in double. Shares no code with the statistics.</summary>
internal static class FutureQueriesByDefinition
{
    /// <summary>Qu and QCQ^T of an attention head, Q the mean of the rotation matrices of the positions ahead.</summary>
    public static (Vector<double> Mean, Matrix<double> Covariance) Of(AttentionScores scores, int layer, int head, int first, int ahead)
    {
        double[] mean = Doubles(new QueryMoments(QueryMoment.Mean, first));
        double[] covariance = Doubles(new QueryMoments(QueryMoment.Covariance, first));
        int size = mean.Length;
        Matrix<double> turned = Matrix<double>.Build.Dense(size, size);
        for (int position = scores.Tokens; position < scores.Tokens + ahead; position++)
        {
            turned += At(RowScores.Rotary, size, position) / ahead;
        }

        return (turned * Vector<double>.Build.Dense(mean), turned * Matrix<double>.Build.Dense(size, size, covariance) * turned.Transpose());

        double[] Doubles(Statistic statistic) => [.. scores.Values(statistic, layer, head).ToArray().Select(x => (double)x)];
    }

    // A half-split rotation as RowScores has it.
    private static Matrix<double> At(RotaryEncoding rotary, int size, int position)
    {
        Matrix<double> rotation = Matrix<double>.Build.DenseIdentity(size);
        int pairs = rotary.Frequencies.Count;
        for (int pair = 0; pair < pairs; pair++)
        {
            double angle = position * rotary.Frequencies[pair];
            rotation[pair, pair] = rotary.Scale * Math.Cos(angle);
            rotation[pair, pair + pairs] = -rotary.Scale * Math.Sin(angle);
            rotation[pair + pairs, pair] = rotary.Scale * Math.Sin(angle);
            rotation[pair + pairs, pair + pairs] = rotary.Scale * Math.Cos(angle);
        }

        return rotation;
    }
}
