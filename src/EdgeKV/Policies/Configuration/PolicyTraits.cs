namespace EdgeKV.Policies.Configuration;

/// <summary>What a <see cref="PolicyEntry"/> says of its policy, for one line of the registry.</summary>
internal sealed record PolicyTraits(string Summary, string? Paper, PolicyRows Rows)
{
    public PolicyTrait ExtraPass { get; init; }

    public PolicyTrait Profile { get; init; }

    public PolicyTrait QueryAware { get; init; }
}
