using EdgeKV.Models.Chat;
using LLama.Native;
using LLama.Sampling;

namespace EdgeKV.Generation;

/// <summary>Samples by the options of an answer, within a grammar.</summary>
/// <param name="grammar">The grammar of the answer and of its header.</param>
/// <param name="given">The tokens of the header, and of the words that the answer begins with.</param>
/// <param name="options">How tokens are picked.</param>
internal sealed class GrammarSampling(ChatGrammar grammar, int[] given, GenerationOptions options) : BaseSamplingPipeline
{
    private const int Candidates = 1;

    /// <inheritdoc/>
    protected override SafeLLamaSamplerChainHandle CreateChain(SafeLLamaContextHandle context)
    {
        SafeLLamaSamplerChainHandle chain = SafeLLamaSamplerChainHandle.Create(LLamaSamplerChainParams.Default());
        chain.AddGrammar(context.ModelHandle!, grammar.Text, "root");
        foreach (int token in given)
        {
            EnsureAllowed(chain, token);
            chain.Accept(token);
        }

        if (options.HasPenalties)
        {
            chain.AddPenalties(GenerationOptions.PenaltyTokens, repeat: 1, options.FrequencyPenalty, options.PresencePenalty);
        }

        if (options.Temperature == 0)
        {
            chain.AddGreedySampler();
            return chain;
        }

        chain.AddTopK(options.TopK);
        chain.AddTopP(options.TopP, Candidates);
        chain.AddMinP(options.MinP, Candidates);
        chain.AddTemperature(options.Temperature);
        chain.AddDistributionSampler(options.Seed);
        return chain;
    }

    // llama.cpp ends the process when a grammar is given a token that it does not allow.
    private static void EnsureAllowed(SafeLLamaSamplerChainHandle chain, int token)
    {
        LLamaTokenDataArray one = new(new[] { new LLamaTokenData(token, 1, 0) }, isSorted: true);
        using (LLamaTokenDataArrayNative.Create(one, out LLamaTokenDataArrayNative candidate))
        {
            chain.Apply(ref candidate);
            if (float.IsNegativeInfinity(candidate.Data[0].Logit))
            {
                throw new ArgumentException("Words that the answer begins with (AnswerPrefix) are not of the form that answers must have.");
            }
        }
    }
}
