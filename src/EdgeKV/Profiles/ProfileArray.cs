namespace EdgeKV.Profiles;

/// <summary>Numbers of a <see cref="ProfileTable"/>.</summary>
/// <param name="Name">What they are.</param>
/// <param name="Shape">Length of each dimension, 1 and up, the last one's numbers side by side.</param>
/// <param name="Values">The numbers.</param>
public sealed record ProfileArray(string Name, IReadOnlyList<int> Shape, ReadOnlyMemory<float> Values);
