using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace EdgeKV.Evaluation;

/// <summary>Reads data sets, whatever their layout: see docs/guide/eval-data.md.</summary>
public static class Datasets
{
    private const int DeepestFolder = 4;
    private const string Layouts =
        "RULER has \"input\" and \"outputs\", LongBench \"input\", \"context\", \"answers\" and \"dataset\", " +
        "SQuAD \"data\", plain data \"context\", \"question\" and \"answers\"";

    /// <summary>Reads a file, or a folder with everything in it, and finds out by itself which layout it has.</summary>
    /// <param name="path">
    /// RULER's jsonl (a file, or a folder of a task, of a length, or of lengths), a needle-in-a-haystack folder, LongBench's jsonl, SQuAD's JSON, plain jsonl, or a
    /// folder of these.
    /// </param>
    /// <param name="countTokens">Tokens of a text, without any that begin or end it; only needle-in-a-haystack folders need it, whose lengths are in tokens.</param>
    /// <returns>At least one sample, files in the order of their names (numbers by value) and lines in theirs.</returns>
    /// <exception cref="DatasetException">There is nothing to read, or something is wrong with what there is.</exception>
    /// <exception cref="ArgumentNullException">A needle-in-a-haystack folder, and no <paramref name="countTokens"/>.</exception>
    public static IReadOnlyList<EvalSample> Read(string path, Func<string, int>? countTokens = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        List<EvalSample> samples = [];
        if (Directory.Exists(path))
        {
            Folder(path, countTokens, samples, 0);
        }
        else if (File.Exists(path))
        {
            samples.AddRange(One(path));
        }
        else
        {
            throw new DatasetException($"{path}: there is no such file or folder; check the path.");
        }

        if (samples.Count == 0)
        {
            throw new DatasetException($"{path}: there is no sample in it; give a .jsonl or .json file, or a folder that has some (docs/guide/eval-data.md).");
        }

        EnsureDistinct(samples);
        return samples;
    }

    /// <summary>Refuses samples that share data set, task and name: results are told apart by these three, and a run goes on by them.</summary>
    /// <param name="samples">All samples of a run.</param>
    /// <exception cref="DatasetException">Two do.</exception>
    public static void EnsureDistinct(IEnumerable<EvalSample> samples)
    {
        ArgumentNullException.ThrowIfNull(samples);
        Dictionary<(string, string, string), string> seen = [];
        foreach (EvalSample sample in samples)
        {
            if (!seen.TryAdd((sample.Dataset, sample.Task, sample.Id), sample.Source))
            {
                throw new DatasetException(
                    $"{sample.Source}: {sample.Dataset} {sample.Task} has the sample \"{sample.Id}\" already " +
                    $"({seen[(sample.Dataset, sample.Task, sample.Id)]}); give one of the two another name, or leave it out.");
            }
        }
    }

    /// <summary>SHA-256 of what samples ask and of what is right, in hexadecimal. What they are called and where they come from is not in it.</summary>
    /// <param name="samples">The samples, in their order.</param>
    /// <param name="haystack">A text that others are made of; null: there is none.</param>
    public static string Sha256(IEnumerable<EvalSample> samples, string? haystack = null)
    {
        ArgumentNullException.ThrowIfNull(samples);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (EvalSample sample in samples)
        {
            // A line of JSON each, so that texts cannot run into one another.
            EvalSample asked = sample with { Dataset = string.Empty, Task = string.Empty, Id = string.Empty, Source = string.Empty };
            hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(asked, DataJson.Default.EvalSample));
            hash.AppendData("\n"u8);
        }

        hash.AppendData(Encoding.UTF8.GetBytes(haystack ?? string.Empty));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Folder(string path, Func<string, int>? countTokens, List<EvalSample> samples, int depth)
    {
        if (depth > DeepestFolder)
        {
            throw new DatasetException($"{path}: folders lie more than {DeepestFolder} deep here; give the one that holds the data.");
        }

        if (NeedleReader.IsOne(path))
        {
            ArgumentNullException.ThrowIfNull(countTokens);
            samples.AddRange(NeedleReader.Read(path, countTokens));
            return;
        }

        foreach (string file in DataFile.Files(path))
        {
            if (Path.GetExtension(file) is ".jsonl" or ".json")
            {
                samples.AddRange(One(file));
            }
        }

        foreach (string folder in DataFile.Entries(path, Directory.EnumerateDirectories))
        {
            Folder(folder, countTokens, samples, depth + 1);
        }
    }

    // SQuAD's file is one object, which may be written on many lines; all others have one on each.
    private static IEnumerable<EvalSample> One(string path)
    {
        string text = DataFile.Text(path);
        if (Path.GetExtension(path) == ".json" && !DataFile.BeginsWithALine(text))
        {
            return SquadReader.Read(DataFile.Whole(path, text, SquadReader.Shape));
        }

        JsonRow? first = DataFile.Rows(path, text, Layouts).Cast<JsonRow?>().FirstOrDefault();
        return first is { } row
            ? Lines(path, text, row)
            : throw new DatasetException($"{path}: this file is empty; leave it out, or put samples into it: {Layouts}.");
    }

    private static IEnumerable<EvalSample> Lines(string path, string text, JsonRow first) => first switch
    {
        _ when first.Has("outputs") || (first.Has("input") && !first.Has("context")) => RulerReader.Read(path, text),
        _ when first.Has("input") || first.Has("all_classes") => LongBenchReader.Read(path, text),
        _ when first.Has("context") || first.Has("question") || first.Has("answers") => PlainReader.Read(path, text),
        _ when first.Has("data") => SquadReader.Read(DataFile.Whole(path, text, SquadReader.Shape)),
        _ => throw first.Wrong("this is no sample of any layout that is read"),
    };
}

[JsonSerializable(typeof(EvalSample))]
internal sealed partial class DataJson : JsonSerializerContext;
