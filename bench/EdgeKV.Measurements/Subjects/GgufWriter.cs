using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Builds a GGUF file (version 3) of float32 tensors in memory.</summary>
public sealed class GgufWriter
{
    private const int Alignment = 32;

    private readonly List<(string Name, Action<Writer> Write)> _metadata = [];
    private readonly List<(string Name, int[] Shape, float[] Data)> _tensors = [];

    /// <summary>GGUF's numbers for the types of metadata that are used here.</summary>
    private enum ValueType : uint
    {
        UInt32 = 4,
        Int32 = 5,
        Float32 = 6,
        Bool = 7,
        String = 8,
        Array = 9,
    }

    public void Add(string key, uint value) => _metadata.Add((key, w => w.UInt32((uint)ValueType.UInt32).UInt32(value)));

    public void Add(string key, float value) =>
        _metadata.Add((key, w => w.UInt32((uint)ValueType.Float32).UInt32(BitConverter.SingleToUInt32Bits(value))));

    public void Add(string key, bool value) => _metadata.Add((key, w => w.UInt32((uint)ValueType.Bool).Bytes([value ? (byte)1 : (byte)0])));

    public void Add(string key, string value) => _metadata.Add((key, w => w.UInt32((uint)ValueType.String).Text(value)));

    public void Add(string key, IReadOnlyList<int> values) => _metadata.Add((key, w =>
    {
        w.UInt32((uint)ValueType.Array).UInt32((uint)ValueType.Int32).UInt64((ulong)values.Count);
        foreach (int value in values)
        {
            w.UInt32((uint)value);
        }
    }
    ));

    public void Add(string key, IReadOnlyList<string> values) => _metadata.Add((key, w =>
    {
        w.UInt32((uint)ValueType.Array).UInt32((uint)ValueType.String).UInt64((ulong)values.Count);
        foreach (string value in values)
        {
            w.Text(value);
        }
    }
    ));

    /// <summary>Adds a tensor.</summary>
    /// <param name="name">Its name in the file.</param>
    /// <param name="data">Its values, the first dimension running fastest.</param>
    /// <param name="shape">Its dimensions as ggml counts them, the fastest first.</param>
    public void AddTensor(string name, float[] data, params int[] shape) => _tensors.Add((name, shape, data));

    /// <summary>The whole file.</summary>
    public byte[] ToArray()
    {
        var file = new Writer();
        file.Bytes("GGUF"u8).UInt32(3).UInt64((ulong)_tensors.Count).UInt64((ulong)_metadata.Count);
        foreach (var (name, write) in _metadata)
        {
            file.Text(name);
            write(file);
        }

        long offset = 0;
        foreach (var (name, shape, data) in _tensors)
        {
            file.Text(name).UInt32((uint)shape.Length);
            foreach (int size in shape)
            {
                file.UInt64((ulong)size);
            }

            file.UInt32(0).UInt64((ulong)offset);
            offset += Padded(data.Length * sizeof(float));
        }

        file.Pad(Alignment);
        foreach (var (_, _, data) in _tensors)
        {
            file.Bytes(MemoryMarshal.AsBytes(data.AsSpan())).Pad(Alignment);
        }

        return file.ToArray();
    }

    private static long Padded(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private sealed class Writer
    {
        private readonly ArrayBufferWriter<byte> _bytes = new();

        public Writer Bytes(ReadOnlySpan<byte> bytes)
        {
            _bytes.Write(bytes);
            return this;
        }

        public Writer UInt32(uint value)
        {
            Span<byte> bytes = stackalloc byte[sizeof(uint)];
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
            return Bytes(bytes);
        }

        public Writer UInt64(ulong value)
        {
            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            return Bytes(bytes);
        }

        public Writer Text(string value)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(value);
            return UInt64((ulong)bytes.Length).Bytes(bytes);
        }

        public void Pad(int alignment)
        {
            while (_bytes.WrittenCount % alignment != 0)
            {
                Bytes([0]);
            }
        }

        public byte[] ToArray() => _bytes.WrittenSpan.ToArray();
    }
}
