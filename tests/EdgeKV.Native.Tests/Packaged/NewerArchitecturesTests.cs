using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Native.Tests.Packaged;

/// <summary>
/// Models that llama.cpp b10068 does not know or computes otherwise give the logits that LLamaSharp 0.30.0's own libllama gives.
/// </summary>
public sealed class NewerArchitecturesTests
{
    // On the same ggml libraries both give the same bits. Other ggml versions and processors differ by up to 0.02 on these models.
    private const float Tolerance = 0.1f;

    private static readonly int[] Prompt = TinyModels.RandomTokens(count: 300, seed: 7)[..200];

    /// <summary>
    /// The likeliest token and its logit, behind the prompt and behind each of the tokens before, as LLamaSharp.Backend.Cpu 0.30.0's
    /// libllama.so (avx2) has them: one thread, f16 caches, flash attention.
    /// </summary>
    public static TheoryData<TinyModel, (int Token, float Logit)[]> Recorded => new()
    {
        {
            TinyModel.LlamaGrouped,
            [(21, 6.71f), (138, 7.38f), (82, 7.39f), (66, 6.77f), (133, 6.59f), (149, 7.45f), (12, 6.69f), (4, 7.18f)]
        },
        {
            TinyModel.Laguna,
            [(158, 7.73f), (144, 6.86f), (99, 8.38f), (245, 6.35f), (196, 7.43f), (218, 8.51f), (129, 8.13f), (262, 7.18f)]
        },
        {
            TinyModel.Nanbeige,
            [(106, 7.10f), (17, 8.28f), (17, 8.55f), (17, 7.72f), (17, 7.41f), (17, 7.98f), (17, 8.24f), (17, 8.34f)]
        },
        {
            TinyModel.MiniMaxM3,
            [(78, 6.74f), (262, 8.30f), (167, 7.36f), (134, 6.82f), (90, 7.93f), (6, 7.18f), (105, 6.44f), (6, 6.76f)]
        },
        {
            TinyModel.GlmDsa,
            [(263, 8.40f), (45, 6.63f), (47, 6.09f), (227, 6.38f), (198, 7.41f), (5, 6.48f), (113, 5.28f), (244, 7.45f)]
        },
    };

    [Theory]
    [MemberData(nameof(Recorded))]
    public void Logits_OfTinyModel_AreThoseOfLLamaSharpsLibrary(TinyModel model, (int Token, float Logit)[] expected)
    {
        using RawModel loaded = new(TinyModels.PathOf(model), contextSize: 512);
        float[] logits = loaded.Read(Prompt);
        foreach (var (token, logit) in expected)
        {
            Assert.Equal(logit, logits[token], Tolerance);
            Assert.InRange(logits.Max(), logit - Tolerance, logit + Tolerance);
            logits = loaded.Read([token]);
        }
    }
}
