using System.Text;
using System.Text.Json;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>
/// A run on disk: run.json says what was asked, results.jsonl has a line for each cell, appended as it is done. A run that was killed loses the
/// cell that it was at; half a line at the end is cut off when the run goes on.
/// </summary>
public sealed class RunFolder : IDisposable
{
    /// <summary>Where a run keeps a full cache while it lasts.</summary>
    internal const string StateName = "context.state";

    private const string ManifestName = "run.json";
    private const string ResultsName = "results.jsonl";
    private const string LockName = "run.lock";

    private readonly IDisposable _lock;
    private readonly ResultLines _results;
    private bool _hasCells;
    private bool _isAbandoned;

    private RunFolder(string path, RunManifest manifest, IDisposable @lock, ResultLines results, List<CellResult> done)
    {
        Path = path;
        Manifest = manifest;
        _lock = @lock;
        _results = results;
        Done = done;
        _hasCells = done.Count > 0;
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>What was asked.</summary>
    public RunManifest Manifest { get; }

    /// <summary>Cells that were there when it was opened.</summary>
    public IReadOnlyList<CellResult> Done { get; }

    /// <summary>Begins a run, or goes on with one.</summary>
    /// <param name="path">The folder; made where it is not there.</param>
    /// <param name="manifest">What is asked now.</param>
    /// <param name="resume">Whether results that are there are gone on with; else there must be none.</param>
    /// <exception cref="RunException">The results that are there are another run's, or cannot be read.</exception>
    /// <exception cref="OutputException">
    /// There are results and they shall not be gone on with, the folder has files that are no run's, it cannot be written, or another process writes it.
    /// </exception>
    public static RunFolder Open(string path, RunManifest manifest, bool resume)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(manifest);
        bool isNew = !Directory.Exists(path);
        IDisposable? exclusive = null;
        FileStream? results = null;
        try
        {
            Directory.CreateDirectory(path);
            exclusive = FileLock.Take(System.IO.Path.Combine(path, LockName))
                ?? throw new OutputException($"{path} is being written by another process; wait for it, or name another folder with --out.");
            bool goesOn = EnsureUsable(path, resume);
            RunManifest? before = goesOn ? ReadManifest(path) : null;
            if (before is not null)
            {
                EnsureSame(path, before, manifest);
                manifest = manifest with { Started = before.Started };
            }

            // What was asked comes first: results without it are nobody's.
            OutputFile.Write(
                System.IO.Path.Combine(path, ManifestName),
                file => file.Write(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(manifest, RunJson.Indented.RunManifest) + "\n")));
            results = new FileStream(
                System.IO.Path.Combine(path, ResultsName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
            List<CellResult> done = ReadAndCut(results);
            return new RunFolder(path, manifest, exclusive, new ResultLines(results, results.Name), done);
        }
        catch (Exception e)
        {
            results?.Dispose();
            exclusive?.Dispose();
            if (isNew && Directory.Exists(path) && !Directory.EnumerateFileSystemEntries(path).Any())
            {
                Directory.Delete(path);
            }

            if (e is IOException or UnauthorizedAccessException)
            {
                throw new OutputException($"{path} cannot be written: {e.Message.TrimEnd('.')}. Name another folder with --out.", e);
            }

            throw;
        }
    }

    /// <summary>Finds out before long work whether a run can go to a folder. Whether a run that is there is the same is checked by <see cref="Open"/>.</summary>
    /// <param name="path">The folder; it may not be there.</param>
    /// <param name="resume">Whether results that are there are gone on with.</param>
    /// <returns>Whether there is a run to go on with.</returns>
    /// <exception cref="OutputException">There is a run and it shall not be gone on with, there are files that are no run's, or the folder cannot be written.</exception>
    public static bool EnsureUsable(string path, bool resume)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string there = System.IO.Path.GetFullPath(path);
        while (!Directory.Exists(there))
        {
            there = File.Exists(there)
                ? throw new OutputException($"{path} cannot be made, for {there} is a file; name another folder with --out.")
                : System.IO.Path.GetDirectoryName(there) ?? throw new OutputException($"{path} cannot be made; name another folder with --out.");
        }

        OutputFile.EnsureWritable(System.IO.Path.Combine(there, ManifestName));

        bool isRun = File.Exists(System.IO.Path.Combine(path, ManifestName));
        if (isRun && !resume)
        {
            throw new OutputException($"{path} has a run already; go on with it by --resume, or name another folder with --out.");
        }

        foreach (string name in (string[])[ManifestName, ResultsName, StateName])
        {
            string file = System.IO.Path.Combine(path, name);
            if (File.Exists(file) && (!OutputFile.IsRegular(file) || (!isRun && new FileInfo(file).Length > 0)))
            {
                throw new OutputException($"{file} is no file of a run and would be replaced; move it away, or name another folder with --out.");
            }
        }

        return isRun;
    }

    /// <summary>The files that a run writes into its folder, beside its report.</summary>
    /// <param name="path">The folder.</param>
    public static IReadOnlyList<string> FilesOf(string path) =>
        [.. ((string[])[ManifestName, ResultsName, LockName, StateName]).Select(name => System.IO.Path.Combine(path, name))];

    /// <summary>What a run asked for.</summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="RunException">It has none, or one that cannot be read.</exception>
    public static RunManifest ReadManifest(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = System.IO.Path.Combine(path, ManifestName);
        if (!File.Exists(file))
        {
            throw new RunException($"{path} holds no {ManifestName}; name a folder that 'edgekv eval' wrote.");
        }

        try
        {
            RunManifest manifest = JsonSerializer.Deserialize(InputFile.ReadRegular(file), RunJson.Lines.RunManifest)
                ?? throw new RunException($"{file} is empty; name a folder that 'edgekv eval' wrote.");
            if (manifest.Version != RunManifest.CurrentVersion)
            {
                throw new RunException($"{file} has version {manifest.Version}; this EdgeKV reads version {RunManifest.CurrentVersion}. Run it again.");
            }

            return RunFigures.Wrong(manifest) is { } wrong ? throw new RunException($"{file}: {wrong}. Run it again into an empty folder.") : manifest;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            string reason = e is JsonException fault ? JsonFault.Of(fault) : e.Message.TrimEnd('.');
            throw new RunException($"{file} cannot be read: {reason}. Name a folder that 'edgekv eval' wrote.", e);
        }
    }

    /// <summary>The cells of a run; half a line at the end is left out.</summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="RunException">They cannot be read.</exception>
    public static IReadOnlyList<CellResult> ReadResults(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = System.IO.Path.Combine(path, ResultsName);
        if (!File.Exists(file))
        {
            return [];
        }

        try
        {
            using FileStream stream = InputFile.Open(file, FileShare.ReadWrite);
            return Read(stream).Cells;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RunException($"{file} cannot be read: {e.Message.TrimEnd('.')}. Name a folder that 'edgekv eval' wrote.", e);
        }
    }

    /// <summary>Adds a cell; it is on the disk when this returns.</summary>
    /// <param name="cell">The cell.</param>
    /// <exception cref="OutputException">It could not be written; the cells before it are there.</exception>
    public void Append(CellResult cell)
    {
        ArgumentNullException.ThrowIfNull(cell);
        _results.Append(JsonSerializer.Serialize(cell, RunJson.Lines.CellResult));
        _hasCells = true;
    }

    /// <summary>Has a run without a cell removed when this is closed: one that failed at its first cell leaves nothing to go on with.</summary>
    public void Abandon() => _isAbandoned = true;

    /// <summary>Closes the results.</summary>
    public void Dispose()
    {
        _results.Dispose();
        bool isRemoved = _isAbandoned && !_hasCells;
        if (isRemoved)
        {
            File.Delete(System.IO.Path.Combine(Path, ManifestName));
            File.Delete(System.IO.Path.Combine(Path, ResultsName));
        }

        _lock.Dispose();
        if (isRemoved && !Directory.EnumerateFileSystemEntries(Path).Any())
        {
            Directory.Delete(Path);
        }
    }

    private static List<CellResult> ReadAndCut(FileStream stream)
    {
        (List<CellResult> cells, long end) = Read(stream);
        stream.SetLength(end);
        return cells;
    }

    private static (List<CellResult> Cells, long End) Read(FileStream stream)
    {
        byte[] bytes;
        try
        {
            bytes = InputFile.ReadAll(stream);
        }
        catch (IOException e)
        {
            throw new RunException($"{stream.Name} cannot be read: {e.Message.TrimEnd('.')}. Name a folder that 'edgekv eval' wrote.", e);
        }

        List<CellResult> cells = [];
        int start = 0;
        for (int line = 1; Array.IndexOf(bytes, (byte)'\n', start) is >= 0 and var end; line++)
        {
            try
            {
                CellResult cell = JsonSerializer.Deserialize(bytes.AsSpan(start, end - start), RunJson.Lines.CellResult) ?? throw new JsonException("it is null");
                cells.Add(RunFigures.Wrong(cell) is { } wrong ? throw new JsonException(wrong) : cell);
            }
            catch (JsonException e)
            {
                throw new RunException($"{stream.Name}, line {line}: {JsonFault.Of(e)}. Take the line out, or begin another run.", e);
            }

            start = end + 1;
        }

        return (cells, start);
    }

    // Policies, budgets, samples and threads may change: their cells say what they are. Data that asks the same may lie in another place.
    private static void EnsureSame(string path, RunManifest before, RunManifest now)
    {
        if (before.DataSha256 is null && now.DataSha256 is not null)
        {
            throw new RunException(
                $"{path} has a run of an EdgeKV that did not write down what its data was, so that nobody can say whether the data is still the same. Name another folder with --out.");
        }

        bool sameData = before.DataSha256 is not null && before.DataSha256 == now.DataSha256;
        (string Name, string Before, string Now)[] facts =
        [
            ("another model", before.ModelSha256, now.ModelSha256),
            ("another profile", before.ProfileSha256 ?? "none", now.ProfileSha256 ?? "none"),
            ("another EdgeKV", before.EdgeKV, now.EdgeKV),
            ("another llama.cpp", before.LlamaCpp, now.LlamaCpp),
            ("another --cache-type", before.CacheType, now.CacheType),
            ("other data sets", Names(before), Names(now)),
            ("other data", before.DataSha256 ?? "none", now.DataSha256 ?? "none"),
            ("another --seed", $"{before.Seed}", $"{now.Seed}"),
            ("another --query-aware", $"{before.QueryAware}", $"{now.QueryAware}"),
            ("another --merge", $"{before.Merge}", $"{now.Merge}"),
        ];
        foreach ((string name, string there, string here) in facts)
        {
            if (there != here)
            {
                throw new RunException($"{path} has a run with {name}: {there} there, {here} now. Ask for the same, or name another folder with --out.");
            }
        }

        string Names(RunManifest manifest) => sameData ? string.Empty : string.Join(", ", manifest.Datasets);
    }
}
