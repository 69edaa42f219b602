using System.Runtime.InteropServices;
using System.Text;

namespace EdgeKV.Native.Tests.Packaged;

/// <summary>What a 64-bit little-endian ELF file exports and which strings its read-only data holds, read without loading it.</summary>
internal sealed class ElfFile
{
    private const uint DynamicSymbols = 11;
    private const int Undefined = 0;

    private readonly byte[] _bytes;
    private readonly Section[] _sections;
    private readonly byte[] _constants;

    public ElfFile(string path)
    {
        _bytes = File.ReadAllBytes(path);
        if (!_bytes.AsSpan().StartsWith("\u007fELF\u0002\u0001"u8))
        {
            throw new InvalidDataException($"{path} is not a 64-bit little-endian ELF file.");
        }

        Header header = MemoryMarshal.Read<Header>(_bytes);
        _sections = MemoryMarshal.Cast<byte, Section>(_bytes.AsSpan((int)header.SectionOffset))[..header.SectionCount].ToArray();
        Section names = _sections[header.NamesIndex];
        _constants = Bytes(_sections.First(s => Text(names, s.Name) == ".rodata")).ToArray();
    }

    /// <summary>Names of the symbols that the file defines and others can bind to.</summary>
    public IEnumerable<string> Exports
    {
        get
        {
            Section section = _sections.First(s => s.Type == DynamicSymbols);
            Section names = _sections[section.Link];
            foreach (Symbol symbol in MemoryMarshal.Cast<byte, Symbol>(Bytes(section)).ToArray())
            {
                if (symbol.SectionIndex != Undefined)
                {
                    yield return Text(names, symbol.Name);
                }
            }
        }
    }

    /// <summary>Strings of the read-only data that begin behind a zero byte and end at one.</summary>
    public IEnumerable<string> Strings
    {
        get
        {
            for (int start = 0; start < _constants.Length;)
            {
                int length = _constants.AsSpan(start).IndexOf((byte)0);
                if (length < 0)
                {
                    yield break;
                }

                if (length > 0)
                {
                    yield return Encoding.Latin1.GetString(_constants, start, length);
                }

                start += length + 1;
            }
        }
    }

    /// <summary>Whether the read-only data holds the string, be it as the end of a longer one: linkers let strings share their ends.</summary>
    public bool Has(string text) => _constants.AsSpan().IndexOf(Encoding.Latin1.GetBytes(text + '\0')) >= 0;

    private ReadOnlySpan<byte> Bytes(Section section) => _bytes.AsSpan((int)section.Offset, (int)section.Size);

    private string Text(Section strings, uint offset)
    {
        ReadOnlySpan<byte> text = Bytes(strings)[(int)offset..];
        return Encoding.Latin1.GetString(text[..text.IndexOf((byte)0)]);
    }

    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct Header
    {
        [FieldOffset(0x28)]
        public ulong SectionOffset;

        [FieldOffset(0x3c)]
        public ushort SectionCount;

        [FieldOffset(0x3e)]
        public ushort NamesIndex;
    }

    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct Section
    {
        [FieldOffset(0)]
        public uint Name;

        [FieldOffset(4)]
        public uint Type;

        [FieldOffset(24)]
        public ulong Offset;

        [FieldOffset(32)]
        public ulong Size;

        [FieldOffset(40)]
        public uint Link;
    }

    [StructLayout(LayoutKind.Explicit, Size = 24)]
    private struct Symbol
    {
        [FieldOffset(0)]
        public uint Name;

        [FieldOffset(6)]
        public ushort SectionIndex;
    }
}
