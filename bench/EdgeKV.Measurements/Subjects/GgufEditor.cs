using System.Runtime.InteropServices;
using System.Text;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Copies of a GGUF file (version 3) in which some values are others, for what a damaged or hostile file may say.</summary>
public sealed class GgufEditor
{
    /// <summary>GGUF's number for an array.</summary>
    private const uint Array = 9;

    /// <summary>GGUF's number for a string.</summary>
    private const uint Text = 8;

    private readonly byte[] _file;
    private readonly List<(string Key, uint Type, byte[] Value)> _metadata = [];
    private readonly List<(string Name, byte[] Shape, uint Type, ulong Offset)> _tensors = [];
    private readonly byte[] _data;
    private int _position;

    /// <summary>Reads a file.</summary>
    /// <param name="path">A GGUF file of version 3 that is aligned to 32 bytes.</param>
    public GgufEditor(string path)
    {
        _file = File.ReadAllBytes(path);
        _position = 8;
        ulong tensors = Read<ulong>();
        ulong pairs = Read<ulong>();
        for (ulong i = 0; i < pairs; i++)
        {
            string key = ReadText();
            uint type = Read<uint>();
            int start = _position;
            Skip(type);
            _metadata.Add((key, type, _file[start.._position]));
        }

        for (ulong i = 0; i < tensors; i++)
        {
            string name = ReadText();
            int start = _position;
            uint dimensions = Read<uint>();
            _position += 8 * (int)dimensions;
            byte[] shape = _file[start.._position];
            _tensors.Add((name, shape, Read<uint>(), Read<ulong>()));
        }

        _data = _file[((_position + 31) / 32 * 32)..];
    }

    /// <summary>Sets a number; the key keeps its type, or gets that of the value.</summary>
    public GgufEditor Set(string key, float value) => Put(key, 6, Bytes(value));

    /// <inheritdoc cref="Set(string, float)"/>
    public GgufEditor Set(string key, uint value) => Put(key, 4, Bytes(value));

    /// <summary>Sets a text.</summary>
    public GgufEditor Set(string key, string value)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(value);
        return Put(key, Text, [.. Bytes((ulong)bytes.Length), .. bytes]);
    }

    /// <summary>Changes an array of 32-bit whole numbers.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="change">Gets the numbers, to write others.</param>
    public GgufEditor Change(string key, Action<int[]> change)
    {
        int[] values = MemoryMarshal.Cast<byte, int>(_metadata.Single(pair => pair.Key == key).Value.AsSpan(12)).ToArray();
        change(values);
        return Put(key, Array, [.. Bytes(5u), .. Bytes((ulong)values.Length), .. MemoryMarshal.AsBytes<int>(values)]);
    }

    /// <summary>Sets some texts of an array of texts.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="texts">The new texts by their place.</param>
    public GgufEditor SetTexts(string key, IReadOnlyDictionary<int, string> texts)
    {
        ReadOnlySpan<byte> old = _metadata.Single(pair => pair.Key == key).Value;
        int count = (int)MemoryMarshal.Read<ulong>(old[4..]);
        List<byte> value = [.. old[..12]];
        int position = 12;
        for (int i = 0; i < count; i++)
        {
            int length = 8 + (int)MemoryMarshal.Read<ulong>(old[position..]);
            byte[]? text = texts.TryGetValue(i, out string? other) ? Encoding.UTF8.GetBytes(other) : null;
            value.AddRange(text is null ? old.Slice(position, length) : [.. Bytes((ulong)text.Length), .. text]);
            position += length;
        }

        return Put(key, Array, [.. value]);
    }

    /// <summary>Makes bytes of an array of 32-bit whole numbers, each as one.</summary>
    public GgufEditor Narrow(string key)
    {
        int[] values = MemoryMarshal.Cast<byte, int>(_metadata.Single(pair => pair.Key == key).Value.AsSpan(12)).ToArray();
        return Put(key, Array, [.. Bytes(0u), .. Bytes((ulong)values.Length), .. values.Select(value => (byte)value)]);
    }

    /// <summary>Fills a tensor of float32 numbers with one number.</summary>
    public GgufEditor Fill(string tensor, float value)
    {
        (_, byte[] shape, _, ulong offset) = _tensors.Single(t => t.Name == tensor);
        long count = 1;
        foreach (ulong dimension in MemoryMarshal.Cast<byte, ulong>(shape.AsSpan(4)))
        {
            count *= (long)dimension;
        }

        MemoryMarshal.Cast<byte, float>(_data.AsSpan((int)offset, (int)count * sizeof(float))).Fill(value);
        return this;
    }

    /// <summary>Fills a row of a matrix of float32 numbers with one number.</summary>
    public GgufEditor FillRow(string tensor, int row, float value)
    {
        (_, byte[] shape, _, ulong offset) = _tensors.Single(t => t.Name == tensor);
        int length = (int)MemoryMarshal.Read<ulong>(shape.AsSpan(4));
        MemoryMarshal.Cast<byte, float>(_data.AsSpan((int)offset + row * length * sizeof(float), length * sizeof(float))).Fill(value);
        return this;
    }

    /// <summary>Says that a tensor has no rows.</summary>
    public GgufEditor Flatten(string tensor)
    {
        byte[] shape = _tensors.Single(t => t.Name == tensor).Shape;
        shape.AsSpan(shape.Length - 8).Clear();
        return this;
    }

    /// <summary>Keeps the first elements of an array of texts or of 32-bit numbers.</summary>
    public GgufEditor Cut(string key, int count)
    {
        byte[] old = _metadata.Single(pair => pair.Key == key).Value;
        int position = 12;
        for (int i = 0; i < count; i++)
        {
            position += MemoryMarshal.Read<uint>(old) == Text ? 8 + (int)MemoryMarshal.Read<ulong>(old.AsSpan(position)) : 4;
        }

        return Put(key, Array, [.. old[..4], .. Bytes((ulong)count), .. old[12..position]]);
    }

    /// <summary>Writes the copy.</summary>
    public void Write(string path)
    {
        using FileStream stream = File.Create(path);
        using BinaryWriter writer = new(stream);
        writer.Write(_file.AsSpan(0, 8));
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_metadata.Count);
        foreach ((string key, uint type, byte[] value) in _metadata)
        {
            WriteText(key);
            writer.Write(type);
            writer.Write(value);
        }

        foreach ((string name, byte[] shape, uint type, ulong offset) in _tensors)
        {
            WriteText(name);
            writer.Write(shape);
            writer.Write(type);
            writer.Write(offset);
        }

        writer.Write(new byte[(32 - (stream.Position % 32)) % 32]);
        writer.Write(_data);

        void WriteText(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            writer.Write((ulong)bytes.Length);
            writer.Write(bytes);
        }
    }

    private static byte[] Bytes<T>(T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray();

    private static int SizeOf(uint type) => type switch
    {
        0 or 1 or 7 => 1,
        2 or 3 => 2,
        4 or 5 or 6 => 4,
        10 or 11 or 12 => 8,
        _ => throw new InvalidDataException($"GGUF has no type {type} of one size."),
    };

    private GgufEditor Put(string key, uint type, byte[] value)
    {
        int index = _metadata.FindIndex(pair => pair.Key == key);
        if (index < 0)
        {
            _metadata.Add((key, type, value));
        }
        else
        {
            _metadata[index] = (key, type, value);
        }

        return this;
    }

    private T Read<T>()
        where T : unmanaged
    {
        T value = MemoryMarshal.Read<T>(_file.AsSpan(_position));
        _position += Marshal.SizeOf<T>();
        return value;
    }

    private string ReadText()
    {
        int length = (int)Read<ulong>();
        string text = Encoding.UTF8.GetString(_file, _position, length);
        _position += length;
        return text;
    }

    private void Skip(uint type)
    {
        if (type == Text)
        {
            _ = ReadText();
        }
        else if (type == Array)
        {
            uint element = Read<uint>();
            ulong count = Read<ulong>();
            for (ulong i = 0; i < count; i++)
            {
                Skip(element);
            }
        }
        else
        {
            _position += SizeOf(type);
        }
    }
}
