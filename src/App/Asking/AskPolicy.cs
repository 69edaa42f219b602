using System.Globalization;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Cli.Asking;

/// <summary>The policy of a run of <c>ask</c>: its options on the command line as options of the policy, and what is wrong with them.</summary>
internal sealed class AskPolicy
{
    private readonly AskRequest _request;
    private readonly string _model;
    private readonly Lazy<ScoreProfile?> _profile;
    private readonly PolicySpec _spec;

    /// <param name="request">What was asked for.</param>
    /// <param name="tasks">The task set that was named or read; null: none.</param>
    /// <param name="model">The model's file.</param>
    /// <exception cref="CommandException">The profile has no such quality, or there is no profile where one is needed.</exception>
    public AskPolicy(AskRequest request, TaskSet? tasks, string model)
    {
        _request = request;
        _model = model;
        _profile = new Lazy<ScoreProfile?>(
            () => (request.Profile ?? ProfileLocator.Find(model)) is { } file ? ScoreProfile.Load(file) : null);
        _spec = new PolicySpec(Options()) { Questions = request.Questions, TaskSet = tasks, Budget = request.Budget };
    }

    /// <summary>The command that makes a profile.</summary>
    public string Calibrate => Hints.Calibrate(_request.Model ?? _model);

    /// <summary>The least score that stays, as it was given; null: none was.</summary>
    public double? Threshold => _spec.Options.Policy switch
    {
        GlobalRanking.PolicyName => Number("threshold"),
        GlobalRanking.ThresholdName => Number("limit"),
        _ => null,
    };

    // What a refusal blames.
    private string Asking => _request.Score is { } score ? $"--score {score}" : $"--policy {_request.Policy}";

    /// <summary>The policy, its profile, and what the user should know of it.</summary>
    /// <param name="room">What fits behind the document.</param>
    /// <exception cref="CommandException">There is no profile, or it has no table, that the policy needs.</exception>
    public PolicyResolution Resolve(ContextRoom room)
    {
        PolicyNeeds needs = PolicyResolver.NeedsOf(_spec);
        if (needs.Any && _profile.Value is null)
        {
            throw needs.Tables is [var table, ..] && _spec.Options.Policy != GlobalRanking.PolicyName
                ? NoTable(table, "there is no profile for this model")
                : NoProfile(Asking);
        }

        return needs.Tables.FirstOrDefault(name => !_profile.Value!.Tables.ContainsKey(name)) is { } missing
            ? throw NoTable(missing, $"the profile {_profile.Value!.Path} has none")
            : PolicyResolver.Resolve(_spec, () => _profile.Value, room);
    }

    /// <summary>The ranking by which rows are dropped while the document is read.</summary>
    /// <exception cref="CommandException">The policy is none.</exception>
    public GlobalRanking WhileReading(ICompressionPolicy policy) => policy switch
    {
        GlobalRanking { Scorer: IReadingScorer } ranking => ranking,
        GlobalRanking { Scorer: WeightedScorer { Scorer: IReadingScorer } } => throw new CommandException(
            ExitCode.Usage, "--while-reading ranks by learned scores alone, before all rows are there to be weighed; leave weight out of --policy."),
        _ => throw new CommandException(
            ExitCode.Usage,
            $"--while-reading ranks by learned scores, which need no second look at the document; leave out --policy and --score, and give the model a profile: `{Calibrate}`."),
    };

    // Options of the command line that are short for options of the policy.
    private PolicyOptions Options()
    {
        PolicyOptions options = _request.Policy;
        options = _request.Score switch
        {
            null => options,
            ScoreNames.Learned or ScoreNames.Probed or ScoreNames.Both or ScoreNames.Repeat => options.With("source", _request.Score),
            var tasks => options.With("source", ScoreNames.Repeat).With("task-set", tasks),
        };
        if (_request.Quality is { } quality)
        {
            options = options.With("threshold", Text(ThresholdOf(quality)));
        }
        else if (_request.Threshold is { } threshold)
        {
            options = options.With("threshold", Text(threshold));
        }

        return _request.Recent is { } recent ? options.With("recent", recent.ToString(CultureInfo.InvariantCulture)) : options;
    }

    private double ThresholdOf(string quality)
    {
        ScoreProfile profile = _profile.Value ?? throw NoProfile("--quality");
        foreach ((string name, double threshold) in profile.Thresholds)
        {
            if (name.Equals(quality, StringComparison.OrdinalIgnoreCase))
            {
                return threshold;
            }
        }

        string there = profile.Thresholds.Count == 0 ? "has no thresholds" : $"has {string.Join(", ", profile.Thresholds.Keys)}";
        throw new CommandException(ExitCode.Usage, $"--quality {quality} is unknown: the profile {profile.Path} {there}; give one of its names, or --threshold.");
    }

    private double? Number(string option) =>
        _spec.Options.Value(option) is { } text ? double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture) : null;

    private static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);

    private CommandException NoProfile(string needs) => new(
        ExitCode.Model, $"{needs} needs a profile, and there is none for this model; make one with `{Calibrate}` or give --profile FILE.");

    private CommandException NoTable(string table, string found) => new(
        ExitCode.Model, $"{Asking} needs a table about the model, and {found}; make it with `{Hints.Calibrate(_request.Model ?? _model, table)}`.");
}
