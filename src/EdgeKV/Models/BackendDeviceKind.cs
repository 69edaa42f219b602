namespace EdgeKV.Models;

/// <summary>What kind of device computes.</summary>
public enum BackendDeviceKind
{
    /// <summary>The processor.</summary>
    Cpu,

    /// <summary>A GPU with memory of its own.</summary>
    Gpu,

    /// <summary>A GPU that uses the host's memory.</summary>
    IntegratedGpu,

    /// <summary>A library or unit that helps the processor.</summary>
    Accelerator,
}
