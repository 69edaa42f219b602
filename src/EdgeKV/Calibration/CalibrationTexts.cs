using System.Security.Cryptography;
using System.Text;
using EdgeKV.Files;
using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Calibration;

/// <summary>
/// Files to learn from. Documents and sources take turns, a tenth of each is never learned from but checked with, and into every fourth of each
/// go one to three sentences with numbers and identifiers: more of them made worse maps (docs/experiments/learned-scores.md).
/// </summary>
public sealed class CalibrationTexts
{
    private const long LargestFile = 1 << 24;
    private const int SmallestPiece = 400;
    private const int HeldOutShare = 10;
    private const int MixedEvery = 4;

    // More than a text's tokens have, so that few texts fall short of their size.
    private const int CharactersPerToken = 5;

    // In the chat template's user turn a document is plain text; these are the kinds that people have.
    private static readonly HashSet<string> DocumentKinds = new([".md", ".txt", ".rst", ".adoc", ".org", ".tex", ".text"], StringComparer.OrdinalIgnoreCase);

    private static readonly HashSet<string> SourceKinds = new(
        [".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".cuh", ".cs", ".go", ".java", ".js", ".ts", ".kt", ".m", ".py", ".rb", ".rs", ".sh", ".sql", ".swift", ".cmake"],
        StringComparer.OrdinalIgnoreCase);

    // What the build takes of llama.cpp's package beside the texts that profiles were learned from.
    private static readonly string[] NotLearned = ["vendor", "models"];

    private readonly List<SourceFile> _documents;
    private readonly List<SourceFile> _sources;

    private CalibrationTexts(string name, List<SourceFile> documents, List<SourceFile> sources)
    {
        Name = name;
        _documents = documents;
        _sources = sources;
    }

    /// <summary>The folders and files that it was made from, without their place on this machine.</summary>
    public string Name { get; }

    /// <summary>Files.</summary>
    public int Files => _documents.Count + _sources.Count;

    /// <summary>
    /// Reads files, and all files of folders that are documents or sources by their ending, except tiny and huge ones, those that show nothing to a reader, and what is no
    /// regular file. A file is read once, whatever links and paths lead to it: else it would be learned from and checked with.
    /// </summary>
    /// <param name="paths">Files and folders. A file that is named is taken whatever its ending.</param>
    /// <exception cref="CalibrationTextException">A path does not exist, cannot be read, is no text or shows nothing to a reader, or there is nothing to learn from.</exception>
    public static CalibrationTexts From(params IReadOnlyList<string> paths)
    {
        ArgumentNullException.ThrowIfNull(paths);
        List<SourceFile> documents = [];
        List<SourceFile> sources = [];
        HashSet<(ulong, ulong, string)> seen = [];
        foreach (string path in paths)
        {
            try
            {
                if (Directory.Exists(path))
                {
                    foreach (string file in InputFolder.Files(path))
                    {
                        string kind = Path.GetExtension(file);
                        if (path == Installed && NotLearned.Any(folder => file.StartsWith(Path.Combine(path, folder), StringComparison.Ordinal)))
                        {
                            continue;
                        }

                        if (DocumentKinds.Contains(kind) || SourceKinds.Contains(kind))
                        {
                            Add(file, required: false);
                        }
                    }
                }
                else
                {
                    Add(path, required: true);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new CalibrationTextException($"The text {path} cannot be read: {e.Message.TrimEnd('.')}; name another file or folder.", e);
            }
        }

        return documents.Count + sources.Count > 0
            ? new CalibrationTexts(string.Join(", ", paths.Select(path => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)))).Distinct()), documents, sources)
            : throw new CalibrationTextException($"There is no text to learn from in {string.Join(", ", paths)}; name files of {SmallestPiece} characters or more.");

        // A link's own length is not its file's.
        static long LengthOf(string file)
        {
            using SafeFileHandle handle = File.OpenHandle(file);
            return RandomAccess.GetLength(handle);
        }

        void Add(string file, bool required)
        {
            if (!seen.Add(FileFacts.IdentityOf(file)))
            {
                return;
            }

            if (!required && LengthOf(file) > LargestFile)
            {
                return;
            }

            using StreamReader reader = new(new MemoryStream(InputFile.ReadAll(file)));
            string text = reader.ReadToEnd();
            if (text.Contains('\0', StringComparison.Ordinal))
            {
                throw new CalibrationTextException($"The text {file} is no text: it has zero bytes. Leave it out, or name another file.");
            }

            bool isBlank = PlainText.IsBlank(text);
            if (isBlank && required)
            {
                throw new CalibrationTextException($"The text {file} shows nothing to a reader: it is empty, or has blanks and characters without a width alone. Leave it out, or name another file.");
            }

            if (!isBlank && text.Length >= SmallestPiece)
            {
                (SourceKinds.Contains(Path.GetExtension(file)) ? sources : documents).Add(new SourceFile(text));
            }
        }
    }

    /// <summary>What llama.cpp's package brings, where this program was built from the repository; null elsewhere.</summary>
    public static string? Installed { get; } = FindInstalled();

    /// <summary>SHA-256 over all files' contents.</summary>
    internal string Hash()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (SourceFile file in _documents.Concat(_sources))
        {
            hash.AppendData(SHA256.HashData(Encoding.UTF8.GetBytes(file.Text)));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The texts in the order in which they are learned from, or checked with: never one in both.</summary>
    /// <remarks>
    /// Every round takes one piece of each file, so that a few large files, which tend to be tables, are no more of what is learned than others.
    /// </remarks>
    internal IEnumerable<CalibrationText> Take(bool heldOut, int textTokens, int seed)
    {
        using IEnumerator<Piece> documents = Part(_documents).GetEnumerator();
        using IEnumerator<Piece> sources = Part(_sources).GetEnumerator();
        bool more = true;
        for (int i = 0; more; i++)
        {
            (IEnumerator<Piece> first, IEnumerator<Piece> second) = i % 2 == 0 ? (documents, sources) : (sources, documents);
            more = first.MoveNext();
            IEnumerator<Piece> pieces = more ? first : second;
            more = more || second.MoveNext();
            if (more)
            {
                // Both kinds in turns, so that each of them has its share.
                string text = pieces.Current.Text;
                yield return i / 2 % MixedEvery == MixedEvery - 1
                    ? new CalibrationText(MixedIn.Into(text, new Random(SeedOf(seed, heldOut, i))), IsMixed: true)
                    : new CalibrationText(text, IsMixed: false);
            }
        }

        IEnumerable<Piece> Part(List<SourceFile> files)
        {
            Random random = new(seed);
            SourceFile[] shuffled = [.. files];
            random.Shuffle(shuffled);
            List<Piece[]> parts = HeldOut([.. shuffled.Select(file => file.Pieces(textTokens * CharactersPerToken).ToArray())], heldOut);
            parts.ForEach(random.Shuffle);
            for (int round = 0; parts.Exists(pieces => round < pieces.Length); round++)
            {
                foreach (Piece[] pieces in parts.Where(pieces => round < pieces.Length))
                {
                    yield return pieces[round];
                }
            }
        }
    }

    /// <summary>The held-out or the other part of files' pieces: whole files where there are enough of them, else the first pieces.</summary>
    private static List<Piece[]> HeldOut(List<Piece[]> files, bool heldOut)
    {
        if (files.Count >= HeldOutShare)
        {
            return heldOut ? files[..Held(files.Count)] : files[Held(files.Count)..];
        }

        int left = Held(files.Sum(pieces => pieces.Length));
        List<Piece[]> parts = [];
        foreach (Piece[] pieces in files)
        {
            int held = Math.Min(left, pieces.Length);
            left -= held;
            parts.Add(heldOut ? pieces[..held] : pieces[held..]);
        }

        return parts;

        static int Held(int count) => (count + HeldOutShare - 1) / HeldOutShare;
    }

    // No HashCode of .NET's, which differs from process to process.
    private static int SeedOf(int seed, bool heldOut, int index) => unchecked((seed * 1_000_003) + (heldOut ? 500_000 : 0) + index);

    private static string? FindInstalled()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string source = Path.Combine(folder.FullName, "artifacts", "build", "llama.cpp-pristine");
            if (Directory.Exists(source))
            {
                return source;
            }
        }

        return null;
    }

    private sealed record SourceFile(string Text)
    {
        /// <summary>Consecutive pieces, cut at ends of lines where there are any.</summary>
        public IEnumerable<Piece> Pieces(int length)
        {
            for (int start = 0; Text.Length - start >= SmallestPiece;)
            {
                int end = Math.Min(Text.Length, start + length);
                int line = end < Text.Length ? Text.LastIndexOf('\n', end - 1, end - start) + 1 : end;
                end = line > start + SmallestPiece ? line : end;
                yield return new Piece(this, start, end);
                start = end;
            }
        }
    }

    private readonly record struct Piece(SourceFile File, int Start, int End)
    {
        public string Text => File.Text[Start..End];
    }
}
