namespace EdgeKV;

/// <summary>What a call of the native library answered: the values of <c>edgekv_status</c>.</summary>
public enum NativeStatus
{
    /// <summary>Success.</summary>
    Ok = 0,

    /// <summary>An argument is out of its range.</summary>
    Argument = 1,

    /// <summary>Not possible in the state that the object is in.</summary>
    State = 2,

    /// <summary>No usable ggml backend.</summary>
    Backend = 3,

    /// <summary>The model file is missing, damaged or not readable.</summary>
    Model = 4,

    /// <summary>The model or its cache is of a kind that cannot be made compact.</summary>
    Unsupported = 5,

    /// <summary>Not enough memory on the host or on the device.</summary>
    Memory = 6,

    /// <summary>More tokens than the model's window or the context can hold.</summary>
    Window = 7,

    /// <summary>The plan does not fit the cache.</summary>
    Plan = 8,

    /// <summary>A progress callback or an interrupt asked to stop.</summary>
    Cancelled = 9,

    /// <summary>A file could not be read or written.</summary>
    Io = 10,

    /// <summary>llama.cpp failed.</summary>
    Internal = 11,

    /// <summary>Another thread uses the context, and the caller did not want to wait that long.</summary>
    Busy = 12,
}
