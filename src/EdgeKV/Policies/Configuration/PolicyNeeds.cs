namespace EdgeKV.Policies.Configuration;

/// <summary>What a policy takes from a model's profile.</summary>
/// <param name="Learned">Whether it takes learned scores.</param>
/// <param name="Tables">Names of the tables that it still has to be given.</param>
public sealed record PolicyNeeds(bool Learned, IReadOnlyList<string> Tables)
{
    /// <summary>Whether it takes anything.</summary>
    public bool Any => Learned || Tables.Count > 0;
}
