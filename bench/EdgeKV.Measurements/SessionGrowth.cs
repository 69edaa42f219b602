using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>What sessions leave behind.</summary>
public static class SessionGrowth
{
    private const int WarmUp = 30;
    private const int Samples = 10;
    private const int ContextTokens = 500;

    /// <summary>
    /// Makes sessions one after another, each of which reads, is compressed, decodes and is disposed. Returns by how many bytes resident
    /// memory has grown since the first few: the least of several samples at the end, less the least of several after a warm-up, because
    /// buffers in use at the moment of a sample come and go.
    /// </summary>
    public static async Task<long> MeasureAsync(int sessions)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        int[] tokens = TinyModels.RandomTokens(ContextTokens, 5);
        long before = long.MaxValue;
        long after = long.MaxValue;
        for (int i = 0; i < WarmUp + sessions; i++)
        {
            if (i >= WarmUp - Samples && i < WarmUp)
            {
                before = Math.Min(before, Resident.BytesInUse());
            }
            else if (i >= WarmUp + sessions - Samples)
            {
                after = Math.Min(after, Resident.BytesInUse());
            }

            using EdgeSession session = model.CreateSession(new SessionOptions { Threads = 1 });
            await session.PrefillAsync(tokens.AsMemory()).ConfigureAwait(false);
            await session.CompressAsync(new KVCompose { Ratio = 0.8, Structured = i % 2 == 0 }).ConfigureAwait(false);
            session.Decode(tokens.AsSpan(0, 4));
        }

        return after - before;
    }
}
