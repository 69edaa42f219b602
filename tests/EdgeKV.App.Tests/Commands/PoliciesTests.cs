using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Policies.Configuration;

namespace EdgeKV.App.Tests.Commands;

public sealed class PoliciesTests
{
    [Fact]
    public async Task Policies_Table_ListsEveryPolicyWithItsOptions()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["policies"], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        Assert.All(PolicyRegistry.Entries, entry =>
        {
            Assert.Contains($"{entry.Name}: {entry.Summary}.", terminal.OutText, StringComparison.Ordinal);
            Assert.Contains(entry.Paper ?? entry.Name, terminal.OutText, StringComparison.Ordinal);
        });
        Assert.Contains("ratio=0.8, rows, bytes, window=64, kernel=5", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("Without --policy: global.", terminal.OutText, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Policies_Json_TellsWhatEachCosts()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["policies", "--json"], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        using var json = JsonDocument.Parse(terminal.OutText);
        JsonElement[] policies = [.. json.RootElement.GetProperty("policies").EnumerateArray()];
        Assert.Equal(PolicyRegistry.Entries.Select(entry => entry.Name), policies.Select(policy => policy.GetProperty("name").GetString()));
        JsonElement tova = policies.Single(policy => policy.GetProperty("name").GetString() == "tova");
        Assert.Equal("2401.06104", tova.GetProperty("paper").GetString());
        Assert.Equal("same positions", tova.GetProperty("rows").GetString());
        Assert.Equal("no", tova.GetProperty("extraPass").GetString());
        Assert.Equal("if", tova.GetProperty("queryAware").GetString());
        JsonElement ada = policies.Single(policy => policy.GetProperty("name").GetString() == "ada");
        Assert.Equal("as scorer", ada.GetProperty("profile").GetString());
        Assert.Contains(ada.GetProperty("options").EnumerateArray(), option => option.GetProperty("name").GetString() == "alpha");
    }
}
