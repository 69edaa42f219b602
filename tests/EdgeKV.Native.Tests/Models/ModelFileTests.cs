using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Sessions;
using LLama;
using LLama.Abstractions;
using LLama.Common;

namespace EdgeKV.Native.Tests;

/// <summary>Values that a model file should not have: an error that names them, before anything is computed with them.</summary>
public sealed class ModelFileTests : IDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"edgekv-{Guid.NewGuid():N}.gguf");

    public static TheoryData<string, float> Numbers => new()
    {
        { "attention.layer_norm_rms_epsilon", -1 },
        { "attention.layer_norm_rms_epsilon", float.NaN },
        { "attention.layer_norm_rms_epsilon", float.PositiveInfinity },
        { "rope.freq_base", float.NaN },
        { "rope.freq_base", -10_000 },
        { "rope.freq_base", 0 },
        { "rope.scaling.factor", -2 },
    };

    public void Dispose() => File.Delete(_path);

    [Theory]
    [MemberData(nameof(Numbers))]
    public void Load_NumberOutOfRange_IsNamed(string key, float value) =>
        Refused(file => file.Set($"llama.{key}", value), $"llama.{key} is ");

    [Theory]
    [InlineData("context_length", uint.MaxValue)]
    [InlineData("context_length", 0u)]
    [InlineData("context_length", 1u << 31)]
    [InlineData("rope.dimension_count", uint.MaxValue)]
    public void Load_CountOutOfRange_IsNamed(string key, uint value) =>
        Refused(file => file.Set($"llama.{key}", value), $"llama.{key} is {value}");

    [Fact]
    public void Load_TokenTypesOfAnotherElementType_IsNamed() =>
        Refused(file => file.Narrow("tokenizer.ggml.token_type"), "tokenizer.ggml.token_type is an array of u8");

    [Fact]
    public void Load_TensorWithoutRows_IsNamed() => Refused(file => file.Flatten("output_norm.weight"), "tensor output_norm.weight has a dimension of 0");

    [Theory]
    [InlineData(0, "tokenizer.ggml.tokens is empty")]
    [InlineData(1, "tokenizer.ggml.bos_token_id is 11 by default, and the vocabulary has 1 tokens")]
    public void Load_VocabularyWithoutItsOwnSpecialTokens_IsNamed(int tokens, string expected) =>
        Refused(file => file.Cut("tokenizer.ggml.tokens", tokens).Cut("tokenizer.ggml.token_type", tokens).Cut("tokenizer.ggml.merges", 0), expected);

    [Theory]
    [InlineData("", "no chat template")]
    [InlineData("hello", "leaves texts of the conversation out")]
    public void TokenizeDocument_TemplateOfNoUse_SaysSo(string template, string expected)
    {
        Write(file => file.Set("tokenizer.chat_template", template));
        using var model = EdgeModel.Load(_path);

        UnsupportedModelException exception = Assert.Throws<UnsupportedModelException>(() => model.TokenizeDocument("a text"));

        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_OtherKeysNearTheEndsOfTheirRanges_AreTaken()
    {
        Write(file => file.Set("llama.context_length", (uint)int.MaxValue).Set("llama.attention.layer_norm_rms_epsilon", 0f));

        using var model = EdgeModel.Load(_path);

        Assert.Equal(int.MaxValue, model.Window);
    }

    [Fact]
    public async Task CreateSession_NumberThatNoFileSays_IsNamedByTheGraph()
    {
        ModelParams parameters = new(TinyModels.PathOf(TinyModel.LlamaGrouped));
        parameters.MetadataOverrides.Add(new MetadataOverride("llama.attention.layer_norm_rms_epsilon", -1f));
        using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
        using var model = EdgeModel.From(weights);
        await using EdgeSession session = model.CreateSession();

        EdgeKVException exception = await Assert.ThrowsAnyAsync<EdgeKVException>(
            () => session.PrefillAsync("a text", cancellationToken: TestContext.Current.CancellationToken));

        Assert.Contains("epsilon -1", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("output_norm.weight")]
    [InlineData("blk.0.attn_k.weight")]
    [InlineData("token_embd.weight")]
    public async Task Session_ModelOfNoNumbers_SaysSoAndHoldsNothing(string tensor)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Write(file => file.Fill(tensor, float.NaN));
        using var model = EdgeModel.Load(_path);
        await using EdgeSession session = model.CreateSession();

        ModelException exception = await Assert.ThrowsAsync<ModelException>(
            () => session.PrefillAsync("a text to read", cancellationToken: cancellation));

        Assert.Contains("computes no numbers", exception.Message, StringComparison.Ordinal);
        Assert.Equal(0, session.Position);
        Assert.Throws<ModelException>(() => _ = session.Decode([1, 2]).Length);
    }

    [Fact]
    public async Task Session_ModelWhoseLogitsAreAllEqual_SaysSoAndHoldsNothing()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Write(file => file.Fill("output_norm.weight", 0));
        using var model = EdgeModel.Load(_path);
        await using EdgeSession session = model.CreateSession();

        ModelException exception = await Assert.ThrowsAsync<ModelException>(
            () => session.PrefillAsync("a text to read", cancellationToken: cancellation));

        Assert.Contains("its logits are all 0", exception.Message, StringComparison.Ordinal);
        Assert.Equal(0, session.Position);
    }

    [Theory]
    [InlineData(float.PositiveInfinity, 0)]
    [InlineData(float.PositiveInfinity, 1)]
    public async Task GenerateAsync_AnInfiniteLogit_SaysSo(float value, double temperature)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Write(file => file.FillRow("output.weight", 7, value));
        using var model = EdgeModel.Load(_path);
        await using EdgeSession session = model.CreateSession();
        await session.PrefillAsync("a text to read", cancellationToken: cancellation);

        await Assert.ThrowsAsync<ModelException>(async () =>
        {
            await foreach (string _ in session.GenerateAsync("What?", new GenerationOptions { Temperature = (float)temperature }, cancellation))
            {
            }
        });
    }

    [Fact]
    public async Task GenerateAsync_LastLogitsPartlyNoNumbers_SaysSo()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Write(file => file.FillRow("output.weight", 7, float.NaN));
        using var model = EdgeModel.Load(_path);
        foreach (GenerationOptions options in (GenerationOptions[])[new(), new() { Temperature = 1 }])
        {
            await using EdgeSession session = model.CreateSession();
            await session.PrefillAsync("a text to read", cancellationToken: cancellation);

            await Assert.ThrowsAsync<ModelException>(async () =>
            {
                await foreach (string _ in session.GenerateAsync("What?", options, cancellation))
                {
                }
            });
        }
    }

    private void Refused(Action<GgufEditor> change, string expected)
    {
        Write(change);

        ModelException exception = Assert.Throws<ModelException>(() => EdgeModel.Load(_path).Dispose());

        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Contains(_path, exception.Message, StringComparison.Ordinal);
    }

    private void Write(Action<GgufEditor> change)
    {
        GgufEditor file = new(TinyModels.PathOf(TinyModel.LlamaGrouped));
        change(file);
        file.Write(_path);
    }
}
