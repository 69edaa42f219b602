using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Reading;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>
/// The plans of all policies for one golden prompt, each as one line of text with a hash. Attention of the repeat pass and learned scores are the
/// golden's own. Every other statistic and every table of the profile is drawn from a fixed seed.
/// </summary>
internal sealed class PlanHashes : IDisposable
{
    /// <summary>Policies that need options, and options that change a plan. Every other registered policy runs with its defaults.</summary>
    private static readonly string[] WithOptions =
    [
        "global:source=learned",
        "global:source=repeat",
        "global:source=both",
        "global:source=probed",
        "global:source=repeat,task-set=context",
        "global:source=learned,protected=0,recent=0",
        "global:source=repeat,weight=value-norm",
        "global:source=learned,weight=output-norm",
        "global:source=both,weight=value-norm",
        "global:source=learned,threshold=-5",
        "global:source=repeat,threshold=-5",
        "kvcompose:aggregate=mean",
        "kvzip:layerwise=true",
        "threshold:limit=-5",
        "threshold:limit=-5,recent=32,composed=true",
        "threshold:scorer=knorm,limit=-1",
        "ragged:head-floor=0.3,layer-floor=0.5",
        "ragged:row-multiple=8",
        "ragged:composed=true",
        "layer-budgets:counts=global,scorer=knorm",
        "finch:window=12",
        "simlayerkv:recent=32",
        "duo-attention:sinks=4,recent=16",
        "razor-attention:sinks=2,recent=16",
        "fastgen:recovery=0.5",
        "snapkv:rows=100",
        "global:source=repeat,rows=100",
    ];

    private static readonly string[] Scorers = ["global", "global.source=repeat", "knorm", "kvzip", "tova"];

    private static readonly string[] Wrappers = ["ada", "critical", "critical-ada", "chunk", "ragged", "lu-kv", "layer-budgets"];

    // Null is the policy's own budget.
    private static readonly double?[] Ratios = [null, 0.5, 0.8, 0.9];

    private readonly AttentionScores _golden;
    private readonly ScoreProfile _profile;
    private readonly Dictionary<Statistic, StatisticValues> _drawn = [];

    /// <summary>The plans of one prompt.</summary>
    /// <param name="folder">The golden's folder.</param>
    /// <param name="profileFile">Where a file may be written that the profile is read from.</param>
    public PlanHashes(string folder, string profileFile)
    {
        _golden = new GoldenScores(folder).Scores;
        _profile = Profile(profileFile);
    }

    public void Dispose() => _golden.Dispose();

    /// <summary>One line for each policy and ratio: the policy, the compression ratio and the SHA-256 of counts and positions.</summary>
    public IEnumerable<string> Lines()
    {
        foreach (string text in Texts())
        {
            foreach (double? ratio in Ratios)
            {
                ICompressionPolicy policy = PolicyOptions.Parse(text).Create();
                policy = ratio is { } given ? policy.WithBudget(Budget.FromRatio(given)) : policy;
                if (policy is ICalibratedPolicy calibrated)
                {
                    policy = (ICompressionPolicy)calibrated.WithTables(_profile);
                }

                yield return Line(text, ratio, Plan(policy));
            }
        }

        if (!_golden.Has(new Learned()))
        {
            yield break;
        }

        foreach (double ratio in Ratios.OfType<double>())
        {
            yield return Line("global while reading", ratio, [.. Reading(ratio, closesUp: false)]);
            yield return Line("global while reading, closing up", ratio, [.. Reading(ratio, closesUp: true)]);
        }
    }

    private static string Line(string policy, double? ratio, params CompressionPlan?[] plans)
    {
        string name = $"{policy} @ {ratio?.ToString(CultureInfo.InvariantCulture) ?? "default"}";
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (CompressionPlan? plan in plans)
        {
            if (plan is null)
            {
                return $"{name} = refused";
            }

            hash.AppendData(MemoryMarshal.AsBytes(plan.Counts));
            hash.AppendData(MemoryMarshal.AsBytes(plan.FlatPositions));
        }

        return $"{name} = {Convert.ToHexStringLower(hash.GetHashAndReset())}";
    }

    private static IEnumerable<string> Texts()
    {
        string[] needOptions = ["finch", "threshold"];
        IEnumerable<string> wrapped =
            from wrapper in Wrappers
            from scorer in Scorers
            select $"{wrapper}:scorer={scorer.Replace("global.", "global,scorer.", StringComparison.Ordinal)}";
        return [.. PolicyRegistry.Entries.Select(entry => entry.Name).Except(needOptions), .. WithOptions, .. wrapped];
    }

    private static float[] Draw(string seed, int length)
    {
        // Not string.GetHashCode, which differs between processes.
        var random = new Random(MemoryMarshal.Read<int>(SHA256.HashData(Encoding.UTF8.GetBytes(seed))));
        float[] values = new float[length];
        for (int i = 0; i < length; i++)
        {
            float value = random.NextSingle();
            values[i] = value * value * value + 0.001f;
        }

        return values;
    }

    private static List<CompressionPlan> Chunks(AttentionScores golden, ReadingPlanner planner)
    {
        const int Chunk = 100;
        List<CompressionPlan> plans = [];
        for (int start = 0; start < golden.Tokens; start += Chunk)
        {
            int tokens = Math.Min(Chunk, golden.Tokens - start);
            float[] learned = new float[golden.KvHeads.Total * tokens];
            for (int list = 0; list < golden.KvHeads.Total; list++)
            {
                golden.Learned(golden.KvHeads.At(list).Layer, golden.KvHeads.At(list).Head).Slice(start, tokens).CopyTo(learned.AsSpan(list * tokens));
            }

            using AttentionScores chunk = StatisticScores.Of(golden.Layers, golden.Heads[0], golden.KvHeads[0], tokens, new Learned(), learned);
            plans.Add(planner.Next(chunk));
        }

        return plans;
    }

    private List<CompressionPlan> Reading(double ratio, bool closesUp) => Chunks(_golden, new ReadingPlanner(
        new GlobalRanking(new LearnedScorer()) { Ratio = ratio }, _golden.KvHeads, _golden.Tokens, keepLatest: 32, closesUp: closesUp));

    // Null where the policy cannot meet the budget.
    private CompressionPlan? Plan(ICompressionPolicy policy)
    {
        Dictionary<Statistic, StatisticValues> values = [];
        bool needsMasks = false;
        foreach (Statistic statistic in policy.Request.Statistics)
        {
            if (statistic is TokenClasses)
            {
                needsMasks = true;
            }
            else
            {
                values.Add(statistic, Values(statistic));
            }
        }

        using var scores = new AttentionScores(_golden.Geometry, _golden.Tokens, values)
        {
            TokenMasks = needsMasks ? Masks(_golden.Tokens) : null,
        };
        try
        {
            return policy.Plan(scores);
        }
        catch (PlanException)
        {
            return null;
        }
    }

    private StatisticValues Values(Statistic statistic)
    {
        if (_drawn.TryGetValue(statistic, out StatisticValues? known))
        {
            return known;
        }

        bool isGolden = _golden.Has(statistic) && statistic is Learned or TaskAttention { Aggregate: AttentionAggregate.Max };
        float[] values = isGolden
            ? [.. Enumerable.Range(0, _golden.Layers).SelectMany(layer => _golden.Values(statistic, layer).ToArray())]
            : Draw($"{statistic} of {_golden.Tokens}", _golden.Geometry.Rows(statistic.IsPerAttentionHead).Total * _golden.Tokens);
        long queries = statistic is WindowAttention window ? Math.Min(window.Queries, _golden.Tokens) : 16;
        return _drawn[statistic] = new StatisticValues(TestScores.Buffer(values), queries);
    }

    private static TokenMasks Masks(int tokens)
    {
        bool[] special = new bool[tokens];
        bool[] punctuation = new bool[tokens];
        for (int token = 0; token < tokens; token++)
        {
            special[token] = token < 3;
            punctuation[token] = token % 11 == 7;
        }

        return new TokenMasks(special, punctuation);
    }

    private ScoreProfile Profile(string file)
    {
        (int layers, int heads, int kvHeads) = (_golden.Layers, _golden.Heads[0], _golden.KvHeads[0]);
        float[] curves = new float[99 * layers * kvHeads];
        for (int i = 0; i < curves.Length; i++)
        {
            // Each head loses its share of the budget at a speed of its own; all lose more at larger ratios.
            double percent = (i / (layers * kvHeads) + 1) / 100.0;
            int list = i % (layers * kvHeads);
            curves[i] = (float)(percent * (list % 5 + 1) / (1 + percent * (list % 5)));
        }

        byte[] weights = MemoryMarshal.AsBytes<float>([0, 0, 0]).ToArray();
        string header = $$"""
            EDGEKV-PROFILE 1
            { "model": "abc", "layers": 1, "embeddingSize": 2, "kvHeads": 1, "weights": "{{Convert.ToHexStringLower(SHA256.HashData(weights))}}", "provenance": {} }
            """;
        File.WriteAllBytes(file, [.. Encoding.UTF8.GetBytes(header + "\n\0"), .. weights]);
        return ScoreProfile.Load(file).With(
            Table("global", new ProfileArray("coefficients", [layers, kvHeads, 3], Draw("coefficients", layers * kvHeads * 3))),
            Table("compresskv", new("head scores", [layers, heads], Draw("head scores", layers * heads)), new("layer errors", [layers], Errors(layers))),
            Table("duo-attention", new ProfileArray("gates", [layers, kvHeads], Draw("gates", layers * kvHeads).Select(gate => Math.Min(gate, 1)).ToArray())),
            Table("razor-attention", new("echo", [layers, kvHeads], Draw("echo", layers * kvHeads)), new("induction", [layers, kvHeads], Draw("induction", layers * kvHeads))),
            Table("q-filters", new ProfileArray("directions", [layers, kvHeads, 4], Draw("directions", layers * kvHeads * 4))),
            Table("lu-kv", new ProfileArray("any scorer", [99, layers, kvHeads], curves)));
    }

    private static float[] Errors(int layers)
    {
        float[] errors = Draw("layer errors", layers);
        float sum = errors.Sum();
        return [.. errors.Select(error => error / sum)];
    }

    private static ProfileTable Table(string name, params ProfileArray[] arrays) =>
        new(name, arrays, new Dictionary<string, string> { ["question"] = ProbeTaskSet.Text });
}
