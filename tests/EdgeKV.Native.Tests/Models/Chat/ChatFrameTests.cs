using EdgeKV.Models.Chat;

namespace EdgeKV.Native.Tests;

public sealed class ChatFrameTests
{
    [Fact]
    public void FindDefaultSystemPrompt_SmolLM2_IsTheTemplatesLiteral() => Assert.Equal(
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        ChatFrame.FindDefaultSystemPrompt(
            "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful AI "
            + "assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role']}}{% endfor %}"));

    [Fact]
    public void FindDefaultSystemPrompt_RealLineBreak_IsFoundToo() => Assert.Equal(
        "You are a helpful assistant.",
        ChatFrame.FindDefaultSystemPrompt("{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' }}{% endfor %}")]
    [InlineData("{{ '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}")]
    public void FindDefaultSystemPrompt_NoLiteral_IsNull(string? template) => Assert.Null(ChatFrame.FindDefaultSystemPrompt(template));
}
