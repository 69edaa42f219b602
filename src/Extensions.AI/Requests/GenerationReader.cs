using EdgeKV.Generation;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>Reads length and sampling of an answer.</summary>
internal static class GenerationReader
{
    private const float TemperatureOfTheModel = 1;

    /// <summary>Length and sampling. Greedy where nothing of sampling is given; the model's own distribution where only what bounds it is.</summary>
    /// <param name="options">The caller's options.</param>
    /// <param name="start">What the caller made by <see cref="ChatOptions.RawRepresentationFactory"/>; null for the defaults.</param>
    /// <param name="maxTokens">The most tokens where the caller names no number.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    /// <exception cref="NotSupportedException">Two options contradict each other.</exception>
    public static GenerationOptions Read(ChatOptions options, GenerationOptions? start, int maxTokens)
    {
        float? minP = MinP(options);
        bool isBounded = options.TopP is not null || options.TopK is not null || minP is not null;
        GenerationOptions read = start ?? new GenerationOptions { MaxTokens = maxTokens, Seed = unchecked((uint)Random.Shared.Next()) };
        Refuse(options, read, isBounded);
        return read with
        {
            MaxTokens = AtLeast(options.MaxOutputTokens, 1, nameof(options.MaxOutputTokens)) ?? read.MaxTokens,
            Temperature = Allowed(options.Temperature, given => given >= 0 && float.IsFinite(given), nameof(options.Temperature), "0 and above")
                ?? (read.Temperature == 0 && isBounded ? TemperatureOfTheModel : read.Temperature),
            TopP = Allowed(options.TopP, given => given is > 0 and <= 1, nameof(options.TopP), "above 0 to 1") ?? read.TopP,
            TopK = AtLeast(options.TopK, 0, nameof(options.TopK)) ?? read.TopK,
            MinP = Allowed(minP, given => given is >= 0 and <= 1, PropertyNames.MinP, "0 to 1") ?? read.MinP,
            FrequencyPenalty = Penalty(options.FrequencyPenalty, nameof(options.FrequencyPenalty)) ?? read.FrequencyPenalty,
            PresencePenalty = Penalty(options.PresencePenalty, nameof(options.PresencePenalty)) ?? read.PresencePenalty,
            Seed = SeedOf(options.Seed) ?? read.Seed,
            Stops = [.. read.Stops, .. Stops(options.StopSequences)],
        };
    }

    private static void Refuse(ChatOptions options, GenerationOptions start, bool isBounded)
    {
        bool isSampled = isBounded || options.Temperature is not null || options.Seed is not null
            || options.FrequencyPenalty is not null || options.PresencePenalty is not null;
        if (start.Sampling is not null && isSampled)
        {
            throw new NotSupportedException(
                $"{nameof(ChatOptions.RawRepresentationFactory)} gives a sampling pipeline, and {nameof(ChatOptions)} says how to sample: give one of the two.");
        }

        if (start.AnswerPrefix is { Length: > 0 })
        {
            throw new NotSupportedException($"{nameof(GenerationOptions)}.{nameof(start.AnswerPrefix)} cannot be given to a chat client: leave it out.");
        }
    }

    private static float? MinP(ChatOptions options) =>
        options.AdditionalProperties?.TryGetValue(PropertyNames.MinP, out object? given) == true ? PropertyValues.Number(PropertyNames.MinP, given) : null;

    private static IEnumerable<string> Stops(IList<string>? stops)
    {
        foreach (string stop in stops ?? [])
        {
            yield return !string.IsNullOrEmpty(stop)
                ? stop
                : throw new ArgumentException($"{nameof(ChatOptions.StopSequences)} has an empty text: leave it out.", nameof(stops));
        }
    }

    // llama.cpp takes the highest seed for "draw one".
    private static uint? SeedOf(long? seed) => seed is null or (>= 0 and < uint.MaxValue)
        ? (uint?)seed
        : throw Out(nameof(ChatOptions.Seed), seed, $"0 to {uint.MaxValue - 1}");

    private static int? AtLeast(int? value, int least, string name) => value is null || value >= least ? value : throw Out(name, value, $"{least} and above");

    private static float? Allowed(float? value, Func<float, bool> isAllowed, string name, string allowed) =>
        value is not { } given || isAllowed(given) ? value : throw Out(name, given, allowed);

    private static float? Penalty(float? value, string name) => Allowed(value, given => given is >= -2 and <= 2, name, "-2 to 2");

    private static ArgumentOutOfRangeException Out(string name, object value, string allowed) => new(name, value, $"Allowed: {allowed}.");
}
