using EdgeKV.Models;

namespace EdgeKV.Measurements.Subjects;

/// <summary>The first GPU that a backend of this process has.</summary>
public static class GpuDevice
{
    /// <summary>Its name and description, or null.</summary>
    public static string? Name { get; } =
        BackendDevice.List().FirstOrDefault(device => device.Kind == BackendDeviceKind.Gpu) is { } device ? $"{device.Name} ({device.Description})" : null;
}
