using EdgeKV.Planning;

namespace EdgeKV.Testing.Measurements;

/// <summary>Input that must be refused by a typed error and leave what it was given to usable, or cleanly dead.</summary>
public static class Soundness
{
    private const int Context = 200;
    private const int Plans = 1000;
    private const int Truncations = 60;
    private const int Flips = 200;

    /// <summary>A piece of bad input; the body returns when the engine behaved, and throws when it did not.</summary>
    /// <param name="Group">What kind it is.</param>
    /// <param name="Run">Tries it.</param>
    public sealed record BadInput(string Group, Action Run);

    /// <summary>All of them, always the same in the same order.</summary>
    public static IReadOnlyList<BadInput> All { get; } =
        [.. BadPlans(), .. WrongOrder(), .. Cancelled(), .. TooLarge(), .. Truncated(), .. Flipped()];

    /// <summary>Whether an exception is one that the library promises.</summary>
    public static bool IsTyped(Exception e) => e is EdgeKVException or OperationCanceledException or ObjectDisposedException;

    private static EngineOptions Options => new(TinyModels.PathOf(TinyModel.LlamaGrouped)) { ContextSize = 512, Threads = 1 };

    private static int[] Tokens => TinyModels.RandomTokens(Context + 64, 9);

    private static IEnumerable<BadInput> BadPlans()
    {
        // One engine for all plans of a kind: that it still works after hundreds of them is the point.
        foreach (bool compact in new[] { false, true })
        {
            Lazy<Engine> engine = new(() => Filled(compact));
            Lazy<Logits> expected = new(() => Probe(engine.Value));
            for (int i = 0; i < Plans / 2; i++)
            {
                int seed = i;
                yield return new BadInput(compact ? "bad plan over a compact cache" : "bad plan over a full cache", () =>
                {
                    Logits before = expected.Value;
                    Refused(() => ApplyBad(engine.Value, new Random(seed), compact));
                    if (seed % 50 == 49 && !Probe(engine.Value).BitEquals(before))
                    {
                        throw new InvalidOperationException("A refused plan changed the cache.");
                    }
                });
            }
        }
    }

    private static Engine Filled(bool compact)
    {
        Engine engine = Engine.Open(Options);
        engine.Prefill(Tokens.AsSpan(0, Context));
        if (compact)
        {
            engine.Apply(Testing.Plans.Ragged(engine.Layers, engine.KvHeads, Context, 3));
        }

        return engine;
    }

    private static Logits Probe(Engine engine)
    {
        Logits logits = engine.Decode(Tokens.AsSpan(Context, 4));
        engine.Rollback(Context);
        return logits;
    }

    private static void ApplyBad(Engine engine, Random random, bool compact)
    {
        CompressionPlan plan = Testing.Plans.Ragged(engine.Layers, engine.KvHeads, Context, compact ? 3 : random.Next());
        int[] counts = plan.Counts.ToArray();
        int[] positions = plan.FlatPositions.ToArray();
        int room = 0;
        int align = 0;
        int victim = random.Next(positions.Length - 1);
        int head = random.Next(counts.Length);
        switch (random.Next(compact ? 12 : 11))
        {
            case 0:
                positions[victim] = -1 - random.Next(int.MaxValue);
                break;
            case 1:
                positions[victim] = Context + random.Next(int.MaxValue - Context);
                break;
            case 2:
                // The next one in the same head, or a head's first made larger than its second.
                int start = Enumerable.Range(0, counts.Length).First(i => counts[i] > 1);
                int first = counts[..start].Sum();
                positions[first + 1] = positions[first];
                break;
            case 3:
                start = Enumerable.Range(0, counts.Length).First(i => counts[i] > 1);
                first = counts[..start].Sum();
                (positions[first], positions[first + 1]) = (positions[first + 1], positions[first]);
                break;
            case 4:
                counts[head] = -1 - random.Next(int.MaxValue);
                break;
            case 5:
                counts[head] = Context + 1 + random.Next(int.MaxValue - Context - 1);
                break;
            case 6:
                counts = counts[..random.Next(counts.Length)];
                break;
            case 7:
                counts = [.. counts, random.Next(4)];
                break;
            case 8:
                positions = positions[..random.Next(positions.Length)];
                break;
            case 9:
                positions = [.. positions, random.Next(Context)];
                break;
            case 10:
                // Taken as unsigned: two to four thousand million rows.
                room = random.Next(2) == 0 ? -1 - random.Next(1000) : int.MaxValue;
                align = random.Next(2) == 0 ? 0 : -1 - random.Next(1000);
                break;
            default:
                // A row that this head no longer has.
                int gone = Enumerable.Range(0, counts.Length).First(i => counts[i] > 0 && counts[i] < Context);
                int at = counts[..gone].Sum();
                HashSet<int> kept = [.. positions.AsSpan(at, counts[gone])];
                positions[at] = Enumerable.Range(0, Context).First(p => !kept.Contains(p));
                Array.Sort(positions, at, counts[gone]);
                break;
        }

        engine.Apply(counts, positions, room, align);
    }

    private static IEnumerable<BadInput> WrongOrder()
    {
        const string Group = "calls in the wrong order";
        Action<Engine>[] empty =
        [
            e => e.Apply(CompressionPlan.KeepAll(e.Layers, e.KvHeads, Context)),
            e => e.Score([], Context),
            e => e.Score(Tokens, 0),
            e => e.Score(Tokens, Context * 1000),
            e => e.Rollback(1),
            e => e.Rollback(-1),
            e => e.Greedy(1),
            e => e.Decode([-1]),
            e => e.Decode([int.MaxValue]),
            e => e.Load(Path.Combine(Places.Cache, "there-is-no-such-state"), 16),
            e => e.Save(Path.Combine(Places.Cache, "no-such-folder", "state"), []),
        ];
        foreach (Action<Engine> call in empty)
        {
            yield return new BadInput(Group, () =>
            {
                using Engine engine = Engine.Open(Options);
                Refused(() => call(engine));
                engine.Prefill(Tokens.AsSpan(0, Context));
                Same(engine);
            });
        }

        Action<Engine>[] compact =
        [
            e => e.Score(Tokens.AsSpan(0, 16), Context),
            e => e.Rollback(Context - 1),
            e => e.Rollback(0),
            e => e.Rollback(-1),
            e => e.Rollback(Context + 1),
            e => e.Apply(CompressionPlan.KeepAll(e.Layers, e.KvHeads, Context)),
            e => e.Decode([-1]),
            e => e.Load(Path.Combine(Places.Cache, "there-is-no-such-state"), 16),
        ];
        foreach (Action<Engine> call in compact)
        {
            yield return new BadInput(Group, () =>
            {
                using Engine engine = Filled(compact: true);
                Logits before = Probe(engine);
                Refused(() => call(engine));
                if (engine.Position == Context && !Probe(engine).BitEquals(before))
                {
                    throw new InvalidOperationException("A refused call changed the cache.");
                }
            });
        }

        yield return new BadInput(Group, () =>
        {
            Engine engine = Filled(compact: true);
            engine.Dispose();
            engine.Dispose();
            Refused(() => engine.Decode([1]));
        });
    }

    private static IEnumerable<BadInput> Cancelled()
    {
        for (int i = 0; i < 8; i++)
        {
            double share = i / 8.0;
            yield return new BadInput("cancelled prefill", () =>
            {
                using Engine engine = Engine.Open(Options with { BatchSize = 16 });
                using CancellationTokenSource cancellation = new();
                Refused(() => engine.Prefill(
                    Tokens.AsSpan(0, Context), new Callback(p => { if (p >= share) { cancellation.Cancel(); } }), cancellation.Token));
                if (engine.Position != 0)
                {
                    throw new InvalidOperationException("A cancelled prefill left tokens.");
                }

                engine.Prefill(Tokens.AsSpan(0, Context));
                Same(engine);
            });
        }

        yield return new BadInput("cancelled prefill", () =>
        {
            using Engine engine = Engine.Open(Options);
            engine.Interrupt();
            Refused(() => engine.Prefill(Tokens.AsSpan(0, Context)));
            engine.Prefill(Tokens.AsSpan(0, Context));
            Same(engine);
        });
    }

    private static IEnumerable<BadInput> TooLarge()
    {
        const string Group = "context that does not fit";
        foreach (int cells in new[] { 0, 1 << 28, 1 << 30 })
        {
            // 1 KiB a token: a quarter of a terabyte and more.
            yield return new BadInput(Group, () => Refused(
                () => Engine.Open(new EngineOptions(TinyModels.PathOf(TinyModel.LlamaLongWindow)) { ContextSize = cells }).Dispose(),
                cells == 0 ? typeof(ContextWindowException) : typeof(OutOfKvMemoryException)));
            yield return new BadInput(Group, () => Refused(
                () => Engine.Open(new EngineOptions(Places.Model) { ContextSize = cells }).Dispose(), typeof(ContextWindowException)));
        }

        yield return new BadInput(Group, () =>
        {
            using Engine engine = Engine.Open(Options);
            Refused(() => engine.Prefill(TinyModels.RandomTokens(Options.ContextSize + 1, 1)), typeof(ContextWindowException));
            engine.Prefill(Tokens.AsSpan(0, Context));
            Same(engine);
        });
    }

    private static IEnumerable<BadInput> Truncated()
    {
        for (int i = 0; i < Truncations; i++)
        {
            int seed = i;
            yield return new BadInput("truncated GGUF", () => Damaged(file =>
            {
                // Half of the cuts within metadata and tensor list, which are a small part of the file.
                Random random = new(seed);
                int end = seed % 2 == 0 ? random.Next(HeaderBytes) : random.Next(file.Length);
                return file[..end];
            }, mayLoad: false));
        }
    }

    private static IEnumerable<BadInput> Flipped()
    {
        for (int i = 0; i < Flips; i++)
        {
            int seed = i;
            yield return new BadInput("bit-flipped GGUF", () => Damaged(file =>
            {
                Random random = new(seed);
                int at = seed % 10 == 9 ? random.Next(file.Length) : random.Next(HeaderBytes);
                file[at] ^= (byte)(1 << random.Next(8));
                return file;
            }, mayLoad: true));
        }
    }

    // About where the tiny model's metadata and tensor list end.
    private const int HeaderBytes = 9000;

    private static void Damaged(Func<byte[], byte[]> damage, bool mayLoad)
    {
        string path = Path.Combine(Places.Cache, $"damaged-{Environment.ProcessId}.gguf");
        File.WriteAllBytes(path, damage(File.ReadAllBytes(TinyModels.PathOf(TinyModel.LlamaGrouped))));
        try
        {
            using Engine engine = Engine.Open(Options with { Model = path });
            if (!mayLoad)
            {
                throw new InvalidOperationException("A truncated model was loaded.");
            }

            // A flipped bit may be a harmless one: then the model must work, or say why not.
            engine.Prefill(Tokens.AsSpan(0, 32));
            engine.Apply(Testing.Plans.Composite(engine.Layers, engine.KvHeads, 32, 1));
            engine.Decode(Tokens.AsSpan(32, 2));
        }
        catch (Exception e) when (IsTyped(e))
        {
            // As promised.
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static void Refused(Action call, Type? type = null)
    {
        try
        {
            call();
        }
        catch (Exception e) when (type is null ? IsTyped(e) : e.GetType() == type)
        {
            return;
        }

        throw new InvalidOperationException("Bad input was accepted.");
    }

    // That the engine gives what a fresh one gives.
    private static void Same(Engine engine)
    {
        using Engine fresh = Engine.Open(engine.Options);
        fresh.Prefill(Tokens.AsSpan(0, Context));
        if (!Probe(engine).BitEquals(Probe(fresh)))
        {
            throw new InvalidOperationException("The engine no longer gives what a fresh one gives.");
        }
    }

    private sealed class Callback(Action<double> report) : IProgress<double>
    {
        public void Report(double value) => report(value);
    }
}
