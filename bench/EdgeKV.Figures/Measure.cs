using System.Diagnostics;
using System.Globalization;
using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Figures;

/// <summary>Every figure, in the order in which the table shows them.</summary>
internal static class Measure
{
    private const double Exact = 1e-3;

    private static readonly (string Name, Func<Table, Task> Run)[] Parts =
    [
        ("memory", Synchronous(MemoryFigures)),
        ("speed", Synchronous(SpeedFigures)),
        ("fidelity", Synchronous(FidelityFigures)),
        ("exactness", Synchronous(ExactnessFigures)),
        ("soundness", SoundnessFiguresAsync),
        ("learned-speed", LearnedSpeedFiguresAsync),
        ("learned-1k", LearnedFigures1kAsync),
        ("learned-2k", LearnedFigures2kAsync),
        ("policies", PolicyFiguresAsync),
        ("device", Synchronous(DeviceFigures)),
    ];

    /// <summary>Measures all parts, or those that are named; save is called after each, so that a run cut short leaves what it measured.</summary>
    public static async Task AllAsync(Table table, IReadOnlySet<string> parts, Action save)
    {
        foreach (var (name, run) in Parts)
        {
            if (parts.Count == 0 || parts.Contains(name))
            {
                long start = Stopwatch.GetTimestamp();
                await run(table).ConfigureAwait(false);
                save();
                Console.WriteLine($"-- {name}: {Stopwatch.GetElapsedTime(start).TotalSeconds:0} s");
            }
        }
    }

    private static void ExactnessFigures(Table table)
    {
        ExactnessCase[] cases = [ExactnessCase.F16, .. TinyModels.Supported.Select(m => ExactnessCase.Of(m))];
        bool bitEqual = true;
        foreach (ExactnessCase subject in cases)
        {
            bool equal = Exactness.IdentityBitEqual(subject);
            bitEqual &= equal;
            Console.WriteLine($"{subject.Name}: bit-equal {equal}");
        }

        List<ExactnessResult> results = [];
        foreach (ExactnessCase subject in cases)
        {
            foreach (KvCacheType type in MeasuredTypes.All)
            {
                results.Add(Exactness.Measure(subject, type));
                Console.WriteLine(string.Join(' ', Row(results[^1])));
            }
        }

        table.Add("identity_bit_equal", bitEqual, "one thread, 128 decoded tokens, F16 copy and tiny models");
        Worst(table, "identity_kl_max", results, r => r.Identity, "two threads, all cache types");
        foreach (KvCacheType type in MeasuredTypes.All)
        {
            ExactnessResult[] ofType = [.. results.Where(r => r.Type == type)];
            Worst(table, $"eviction_kl_max_{type.Name()}", ofType, r => r.Eviction, "against llama_memory_seq_rm, rows in the same order");
            Worst(table, $"composite_kl_max_{type.Name()}", ofType, r => r.Composite, "against the mask oracle");
            Worst(table, $"ragged_kl_max_{type.Name()}", ofType, r => r.Ragged, "against the mask oracle, empty heads among them");
        }

        ExactnessResult[] f16 = [.. results.Where(r => r.Type == KvCacheType.F16)];
        Worst(table, "prompt_kl_max", f16, r => r.Prompt, "every token of a following prompt (300 on the F16 copy), composite and ragged");
        double sensitivity = results.Min(r => r.Sensitivity);
        table.Judged(
            "sensitivity_kl_min",
            sensitivity,
            ">= 0.01 and 10 bounds",
            results.All(r => r.CanFail),
            "the same plans with every kept position shifted by one");
        foreach (KvCacheType type in MeasuredTypes.All)
        {
            table.Add($"noise_floor_kl_max_{type.Name()}", results.Where(r => r.Type == type).Max(r => r.Floor.Max), "stock, one thread against two");
        }

        table.Detail(
            "Exactness, each model and cache type (largest KL)",
            ["model", "cache", "floor", "bound", "identity", "eviction", "composite", "ragged", "prompt", "shifted by one",
                "eviction, holes filled", "stock, holes filled or closed"],
            results.Select(Row));
    }

    private static string[] Row(ExactnessResult r) =>
    [
        r.Case, r.Type.Name(), Table.Text(r.Floor.Max), Table.Text(r.Bound), Table.Text(r.Identity.Max), Table.Text(r.Eviction.Max),
        Table.Text(r.Composite.Max), Table.Text(r.Ragged.Max), Table.Text(r.Prompt.Max), Table.Text(r.Sensitivity),
        Table.Text(r.EvictionInHoles.Max), Table.Text(r.OrderFloor.Max),
    ];

    private static void Worst(Table table, string key, IReadOnlyList<ExactnessResult> results, Func<ExactnessResult, Divergence> part, string note)
    {
        double bound = results.Max(r => r.Bound);
        table.Judged(
            key,
            results.Max(r => part(r).Max),
            bound > Exact ? $"<= {Table.Text(Exact)} or 3 floors ({Table.Text(bound)})" : $"<= {Table.Text(Exact)}",
            results.All(r => part(r).Max <= r.Bound),
            $"{note}; floor {Table.Text(results.Max(r => r.Floor.Max))}");
    }

    private static void FidelityFigures(Table table)
    {
        string[] keys = [.. Fidelity.Ratios.Select(r => $"overlap_min_{Number(r)}"), "golden_kl_max_0.8"];
        string[] keysF16 = [.. Fidelity.Ratios.Select(r => $"overlap_min_f16_{Number(r)}"), "golden_kl_max_f16_0.8"];
        if (Golden.All.Count == 0)
        {
            table.Missing(Golden.Missing, ["golden_plans_exact", .. keys, .. keysF16]);
            return;
        }

        (int exact, int all) = Golden.All.Select(Fidelity.Plans).Aggregate((a, b) => (a.Exact + b.Exact, a.All + b.All));
        table.Add("golden_plans_exact", exact == all, $"{exact} of {all} plans of {Golden.All.Count} prompts");
        List<string[]> rows = [];
        One("Q4_1", Places.Model, "", 0.95, 0.05);
        One("F16 copy", F16Model.Path, "f16_", 0.98, 0.02);
        table.Detail(
            "Fidelity to the reference (ratio 0.8 but for the overlaps)",
            ["model", "prompt", "plan", "overlap 0.5", "0.8", "0.9", "KL", "same first token", "same answer", "lead", "answer"],
            rows);

        void One(string name, string model, string infix, double overlap, double kl)
        {
            Fidelity[] results = [.. Golden.All.SelectMany(g => Fidelity.Of(g, model))];
            foreach (double ratio in Fidelity.Ratios)
            {
                table.AtLeast($"overlap_min_{infix}{Number(ratio)}", results.Min(r => r.Overlap[ratio]), overlap, $"intersection over union, {name}");
            }

            table.Judged(
                $"golden_kl_max_{infix}0.8",
                results.Max(r => r.Kl),
                $"<= {Table.Text(kl)}, same top token and answer",
                results.All(r => r.Kl <= kl && r.SameTop && r.AnswerMatches),
                $"{name}; same top token {results.Count(r => r.SameTop)} of {results.Length}, same answer {results.Count(r => r.SameAnswer)}; "
                + $"along the reference's answer another token leads by {Table.Text(results.Max(r => r.AnswerLead))} nats at most, {Table.Text(Fidelity.NearTie)} is a near tie");
            rows.AddRange(results.Select(r => new[]
            {
                name, r.Prompt, r.Structured ? "structured" : "unstructured", Table.Text(r.Overlap[0.5]), Table.Text(r.Overlap[0.8]),
                Table.Text(r.Overlap[0.9]), Table.Text(r.Kl), r.SameTop ? "yes" : "no", r.SameAnswer ? "yes" : "no",
                Table.Text(r.AnswerLead), "`" + r.Answer.ReplaceLineEndings(" ").Trim() + "`",
            }));
        }
    }

    private static void MemoryFigures(Table table)
    {
        const int Context = 4000;
        int[] tokens = ExactnessCase.DocumentTokens(Places.Model, Context);
        Memory memory = Memory.Of(
            new EngineOptions(Places.Model) { ContextSize = 4096 },
            tokens,
            e => Plans.AtRatio(e.Geometry.KvHeads, Context, 0.8, ragged: true, seed: 1));
        table.Add("kv_bytes_expected", memory.Expected, "ragged plan at 0.8 of 4000 tokens: (rows + room) x bytes per row");
        table.Judged("kv_bytes_reported", memory.Reported, "equal", memory.Reported == memory.Expected, $"full cache before: {memory.Before}");
        table.AtLeast("rss_drop_share", memory.DropShare, 0.9, "fall of resident memory by what the cache gave back");
    }

    private static void SpeedFigures(Table table)
    {
        Speed speed = Speed.Of(Places.Model);
        string context = $"{speed.Context} tokens, stock {speed.StockTokensPerSecond:0.0} t/s, empty cache {speed.StockEmptyTokensPerSecond:0.0} t/s";
        table.AtLeast("decode_speedup_0.0", speed.DecodeSpeedup[0.0], 1.15, context);
        table.Add("decode_speedup_0.5", speed.DecodeSpeedup[0.5]);
        table.AtLeast("decode_speedup_0.8", speed.DecodeSpeedup[0.8], 2.2, "aim: 2.4");
        table.AtLeast("decode_speedup_0.9", speed.DecodeSpeedup[0.9], 2.5, "aim: 2.8");
        foreach (double ratio in Speed.Ratios)
        {
            table.Add(
                $"decode_ideal_{Number(ratio)}",
                speed.DecodeIdeal[ratio],
                "stock's time per token, with the part that its cache costs cut in proportion to the rows");
        }

        string own = $"over LLamaSharp on its own libllama, {speed.LLamaSharpTokensPerSecond:0.0} t/s with the full cache";
        table.Add("decode_speedup_over_llamasharp_0.0", speed.DecodeSpeedupOverLLamaSharp[0.0], own);
        table.Add("decode_speedup_over_llamasharp_0.8", speed.DecodeSpeedupOverLLamaSharp[0.8], own);
        table.Add("prefill_over_llamasharp", speed.PrefillOverLLamaSharp, "seconds of ours by those of LLamaSharp on its own libllama");
        table.AtLeast("ragged_over_composite_decode", speed.RaggedOverComposite, 0.85, "unstructured and structured KVCompose at 0.8, the same rows in all");
        table.Add("kernel_over_llama_decode_0.8", speed.KernelOverLlama, "our attention kernel over llama.cpp's, the same composite rows");
        table.Add("kernel_over_llama_ragged_decode_0.8", speed.KernelOverLlamaRagged, "the same over ragged rows");
        table.AtMost("followup_prompt_over_full", speed.FollowUpOverFull, 1, "300 tokens, seconds over the compact cache at 0.8 by stock's over the full one");
        table.AtMost("plan_over_prefill", speed.PlanOverPrefill, 0.01, $"prefill {speed.PrefillSeconds:0.0} s, stock's {speed.StockPrefillSeconds:0.0} s");
        table.AtMost("apply_over_prefill", speed.ApplyOverPrefill, 0.05);
        table.AtMost("score_context_over_prefill", speed.ScoreContextOverPrefill, 3.5);
        table.AtMost("score_question_over_prefill", speed.ScoreQuestionOverPrefill, 0.1, "64 tokens");
    }

    private static void DeviceFigures(Table table)
    {
        string[] keys =
        [
            "device_identity_kl_max", "device_composite_kl_max", "device_ragged_kl_max", "device_floor_kl_max",
            "device_scores_diff_max", "device_scores_read_diff_max", "device_scores_floor_max",
        ];
        if (GpuDevice.Name is not { } device)
        {
            table.Missing(Device.Missing, keys);
            return;
        }

        DeviceRun run = DeviceRun.Measure();
        IReadOnlyList<DeviceResult> results = run.Results;
        if (results.Count == 0)
        {
            table.Missing($"the driver aborted all {run.Aborted} processes", keys);
            return;
        }

        string processes = $"{results.Count} cases, {run.Missed} not measured; the driver aborted {run.Aborted} processes";
        Worst("device_identity_kl_max", r => r.Identity);
        Worst("device_composite_kl_max", r => r.Composite);
        Worst("device_ragged_kl_max", r => r.Ragged);
        table.AtMost("device_scores_diff_max", results.Max(r => r.ScoresDiff), 1e-3, "largest difference of a score, device against CPU, over the same rows");
        table.Add(
            "device_scores_read_diff_max",
            results.Max(r => r.ScoresDiffRead),
            "the same over rows that each read itself: a last bit decides how a quantized row is rounded");
        table.Add("device_scores_floor_max", results.Max(r => r.ScoresFloor), "stock's weights over rows that each read itself, V in f16");
        table.Add("device_floor_kl_max", results.Max(r => r.Floor.Max), $"stock, device against CPU; {processes}");
        table.Detail(
            $"Device: {device}, against the CPU (largest KL)",
            ["model", "cache", "layers on the device", "floor", "bound", "identity", "composite", "ragged", "scores", "over rows each read", "stock's", "shifted by one"],
            results.Select(r => new[]
            {
                r.Case, r.Type.Name(), r.GpuLayers < 0 ? "all" : r.GpuLayers.ToString(CultureInfo.InvariantCulture), Table.Text(r.Floor.Max), Table.Text(r.Bound),
                Table.Text(r.Identity.Max), Table.Text(r.Composite.Max), Table.Text(r.Ragged.Max), Table.Text(r.ScoresDiff), Table.Text(r.ScoresDiffRead), Table.Text(r.ScoresFloor), Table.Text(r.Sensitivity),
            }));

        void Worst(string key, Func<DeviceResult, Divergence> part)
        {
            double bound = results.Max(r => r.Bound);
            table.Judged(
                key,
                results.Max(r => part(r).Max),
                bound > Exact ? $"<= {Table.Text(Exact)} or 3 floors ({Table.Text(bound)})" : $"<= {Table.Text(Exact)}",
                results.All(r => part(r).Max <= r.Bound && r.CanFail),
                $"{device}; floor {Table.Text(results.Max(r => r.Floor.Max))}");
        }
    }

    private static async Task SoundnessFiguresAsync(Table table)
    {
        const double Flat = 8;
        const double Mebibyte = 1 << 20;
        SoundnessRun run = SoundnessRun.Measure();
        table.Add("bad_inputs_tried", run.Tried, "bad plans, wrong order, cancelled prefills, truncated and bit-flipped GGUFs, too large contexts");
        table.AtMost("bad_inputs_crashed", run.Crashed, 0, "crashed, hung, or ended in anything but a typed error");
        if (run.Faults.Count > 0)
        {
            table.Detail("Bad inputs that were not refused cleanly", ["input"], run.Faults.Select(f => new[] { f }));
        }

        double growth = await SessionGrowth.MeasureAsync(200).ConfigureAwait(false) / Mebibyte;
        table.AtMost("sessions_rss_growth_mib", growth, Flat, "200 sessions created, compressed and disposed");
    }

    private static async Task LearnedSpeedFiguresAsync(Table table)
    {
        using (EdgeModel model = EdgeModel.Load(Places.Model))
        {
            string r2 = model.Profile!.Provenance["r2"];
            table.AtLeast("learned_r2", double.Parse(r2.Split(' ')[0], CultureInfo.InvariantCulture), 0.75, $"of the shipped profile, on texts not learned from: {r2}");
        }

        LearnedSpeed speed = await LearnedSpeedRun.MeasureAsync().ConfigureAwait(false);
        table.AtMost("learned_over_prefill", speed.PrefillOverStock, 1.03, "4000 tokens; on stock's ggml");
        table.AtMost("ready_over_prefill", speed.ReadyOverStock, 1.08, "prefill, general question, plan and applied plan, at 0.8 and 0.9; on stock's ggml");
        table.AtLeast("learned_decode_speedup_0.8", speed.DecodeSpeedup[0.8], 2.1, "ragged as it comes from the scores, over stock with the full cache; on stock's ggml");
        table.AtLeast("learned_decode_speedup_0.9", speed.DecodeSpeedup[0.9], 2.4, "ragged as it comes from the scores, over stock with the full cache; on stock's ggml");
    }

    private static Task LearnedFigures1kAsync(Table table) => LearnedAccuracyAsync(
        table,
        1024,
        ("learned@0.8", "learned_relative_1k_0.8", 0.95),
        ("learned@0.9", "learned_relative_1k_0.9", 0.88),
        ("probed@0.8", "probed_relative_1k_0.8", 0.95),
        ("probed@0.9", "probed_relative_1k_0.9", 0.88),
        ("repeat@0.9", "repeat_relative_1k_0.9", 0.9));

    private static Task LearnedFigures2kAsync(Table table) => LearnedAccuracyAsync(
        table,
        2048,
        ("learned@0.8", "learned_relative_2k_0.8", 0.95),
        ("learned@0.9", "learned_relative_2k_0.9", 0.78),
        ("probed@0.8", "probed_relative_2k_0.8", 0.95),
        ("probed@0.9", "probed_relative_2k_0.9", 0.78));

    private static async Task LearnedAccuracyAsync(Table table, int length, params (string Cell, string Key, double Bound)[] figures)
    {
        if (Places.Shared is null)
        {
            table.Missing("shared/ruler is not here", [.. figures.Select(f => f.Key)]);
            return;
        }

        LearnedAccuracy accuracy = await Learned.AccuracyAsync(length, whileReading: length > 1024, Console.WriteLine).ConfigureAwait(false);
        foreach ((string cell, string key, double bound) in figures)
        {
            table.AtLeast(key, accuracy.Relative[cell], bound, $"{accuracy.Right} samples that the full cache answers, of the reference's {accuracy.Asked}");
        }

        table.Detail(
            $"Accuracy relative to the full cache, RULER {length}",
            ["score@ratio", "relative accuracy"],
            accuracy.Relative.Select(cell => new[] { cell.Key, Table.Text(cell.Value) }));
    }

    // In the cache, so that a run cut short is gone on with; a finished one is measured anew.
    private static async Task PolicyFiguresAsync(Table table)
    {
        string folder = Path.Combine(Places.Cache, "policy-accuracy");
        await PolicyAccuracy.MeasureAsync(table, folder, threads: 0).ConfigureAwait(false);
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Func<Table, Task> Synchronous(Action<Table> run) => table =>
    {
        run(table);
        return Task.CompletedTask;
    };

    private static string Number(double value) => value.ToString("0.0##", CultureInfo.InvariantCulture);
}
