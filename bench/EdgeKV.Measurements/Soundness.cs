using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements;

/// <summary>Input that must be refused by a typed error and leave what it was given to usable, or cleanly dead.</summary>
public static class Soundness
{
    private const int Context = 200;
    private const int Plans = 1000;
    private const int Truncations = 60;
    private const int Flips = 200;

    /// <summary>A piece of bad input. The body returns when EdgeKV behaved, and throws when it did not.</summary>
    /// <param name="Group">What kind it is.</param>
    /// <param name="Run">Tries it.</param>
    public sealed record BadInput(string Group, Action Run);

    /// <summary>All of them, always the same in the same order.</summary>
    public static IReadOnlyList<BadInput> All { get; } =
        [.. BadPlans(), .. WrongOrder(), .. Cancelled(), .. TooLarge(), .. Truncated(), .. Flipped()];

    /// <summary>Whether an exception is one that the library promises.</summary>
    public static bool IsTyped(Exception e) =>
        e is EdgeKVException or OperationCanceledException or ObjectDisposedException or ArgumentException;

    private static EngineOptions Options => new(TinyModels.PathOf(TinyModel.LlamaGrouped)) { ContextSize = 512, Threads = 1 };

    private static int[] Tokens => TinyModels.RandomTokens(Context + 64, 9);

    private static IEnumerable<BadInput> BadPlans()
    {
        // One context for all plans of a kind: that it still works after hundreds of them is the point.
        foreach (bool compact in new[] { false, true })
        {
            Lazy<Opened> opened = new(() => Filled(compact));
            Lazy<Logits> expected = new(() => Probe(opened.Value.Context));
            for (int i = 0; i < Plans / 2; i++)
            {
                int seed = i;
                yield return new BadInput(compact ? "bad plan over a compact cache" : "bad plan over a full cache", () =>
                {
                    Logits before = expected.Value;
                    Refused(() => ApplyBad(opened.Value.Context, new Random(seed), compact));
                    if (seed % 50 == 49 && !Probe(opened.Value.Context).BitEquals(before))
                    {
                        throw new InvalidOperationException("A refused plan changed the cache.");
                    }
                });
            }
        }
    }

    private static Opened Open(EngineOptions options)
    {
        EdgeModel model = options.Load();
        try
        {
            return new Opened(model, model.CreateSession(options.Session));
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static Opened Filled(bool compact)
    {
        Opened opened = Open(Options);
        opened.Context.Prefill(Tokens.AsSpan(0, Context));
        if (compact)
        {
            opened.Context.Apply(Subjects.Plans.Ragged(opened.Model.Geometry.KvHeads, Context, 3));
        }

        return opened;
    }

    private static Logits Probe(KvContext context)
    {
        Logits logits = context.DecodeAll(Tokens.AsSpan(Context, 4));
        context.Rollback(Context);
        return logits;
    }

    private static void ApplyBad(KvContext context, Random random, bool compact)
    {
        CompressionPlan plan = Subjects.Plans.Ragged(context.Model.Geometry.KvHeads, Context, compact ? 3 : random.Next());
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

        context.ApplyArrays(counts, positions, room, align);
    }

    private static IEnumerable<BadInput> WrongOrder()
    {
        const string Group = "calls in the wrong order";
        Action<KvContext>[] empty =
        [
            c => c.Apply(CompressionPlan.KeepAll(c.Model.Geometry.KvHeads, Context)),
            c => c.DecodeScored([], Context),
            c => c.DecodeScored(Tokens, 0),
            c => c.DecodeScored(Tokens, Context * 1000),
            c => c.Rollback(1),
            c => c.Rollback(-1),
            c => Greedy.Continue(c, 1),
            c => c.Decode([-1]),
            c => c.Decode([int.MaxValue]),
            c => c.Load(Path.Combine(Places.Cache, "there-is-no-such-state")),
            c => c.Save(Path.Combine(Places.Cache, "state-of-nothing")),
        ];
        foreach (Action<KvContext> call in empty)
        {
            yield return new BadInput(Group, () =>
            {
                using Opened opened = Open(Options);
                Refused(() => call(opened.Context));
                opened.Context.Prefill(Tokens.AsSpan(0, Context));
                Same(opened.Context);
            });
        }

        Action<KvContext>[] compact =
        [
            c => c.DecodeScored(Tokens.AsSpan(0, 16), Context),
            c => c.Rollback(Context - 1),
            c => c.Rollback(0),
            c => c.Rollback(-1),
            c => c.Rollback(Context + 1),
            c => c.Apply(CompressionPlan.KeepAll(c.Model.Geometry.KvHeads, Context)),
            c => c.Decode([-1]),
            c => c.Load(Path.Combine(Places.Cache, "there-is-no-such-state")),
            c => c.Save(Path.Combine(Places.Cache, "no-such-folder", "state")),
        ];
        foreach (Action<KvContext> call in compact)
        {
            yield return new BadInput(Group, () =>
            {
                using Opened opened = Filled(compact: true);
                Logits before = Probe(opened.Context);
                Refused(() => call(opened.Context));
                if (opened.Context.Position == Context && !Probe(opened.Context).BitEquals(before))
                {
                    throw new InvalidOperationException("A refused call changed the cache.");
                }
            });
        }

        yield return new BadInput(Group, () =>
        {
            Opened opened = Filled(compact: true);
            KvContext context = opened.Context;
            opened.Dispose();
            opened.Dispose();
            Refused(() => context.Decode([1]));
            Refused(() => opened.Session.Decode([1]));
        });
    }

    private static IEnumerable<BadInput> Cancelled()
    {
        for (int i = 0; i < 8; i++)
        {
            double share = i / 8.0;
            yield return new BadInput("cancelled prefill", () =>
            {
                using Opened opened = Open(Options with { BatchSize = 16 });
                using CancellationTokenSource cancellation = new();
                Refused(() => Read(opened, new Callback(p => { if (p >= share) { cancellation.Cancel(); } }), cancellation.Token));
                if (opened.Context.Position != 0)
                {
                    throw new InvalidOperationException("A cancelled prefill left tokens.");
                }

                Read(opened);
                Same(opened.Context, Options with { BatchSize = 16 });
            });
        }

        yield return new BadInput("cancelled prefill", () =>
        {
            using Opened opened = Open(Options);
            opened.Context.Interrupt();
            Refused(() => Read(opened));
            Read(opened);
            Same(opened.Context);
        });

        static void Read(Opened opened, IProgress<double>? progress = null, CancellationToken cancellation = default) =>
            opened.Session.PrefillAsync(Tokens.AsMemory(0, Context), progress, cancellation).GetAwaiter().GetResult();
    }

    private static IEnumerable<BadInput> TooLarge()
    {
        const string Group = "context that does not fit";
        foreach (int cells in new[] { int.MaxValue, 1 << 28, 1 << 30 })
        {
            // 1 KiB a token: a quarter of a terabyte and more.
            yield return new BadInput(Group, () => Refused(
                () => Open(new EngineOptions(TinyModels.PathOf(TinyModel.LlamaLongWindow)) { ContextSize = cells }).Dispose(),
                cells == int.MaxValue ? typeof(ContextWindowException) : typeof(OutOfKvMemoryException)));
            yield return new BadInput(Group, () => Refused(
                () => Open(new EngineOptions(Places.Model) { ContextSize = cells }).Dispose(), typeof(ContextWindowException)));
        }

        yield return new BadInput(Group, () =>
        {
            using Opened opened = Open(Options);
            Refused(() => opened.Context.Prefill(TinyModels.RandomTokens(Options.ContextSize + 1, 1)), typeof(ContextWindowException));
            opened.Context.Prefill(Tokens.AsSpan(0, Context));
            Same(opened.Context);
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
            using Opened opened = Open(Options with { Model = path });
            if (!mayLoad)
            {
                throw new InvalidOperationException("A truncated model was loaded.");
            }

            // A flipped bit may be a harmless one: then the model must work, or say why not.
            opened.Context.Prefill(Tokens.AsSpan(0, 32));
            opened.Context.Apply(Subjects.Plans.Composite(opened.Model.Geometry.KvHeads, 32, 1));
            opened.Context.DecodeAll(Tokens.AsSpan(32, 2));
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

    // That a context gives what a fresh one gives.
    private static void Same(KvContext context, EngineOptions? options = null)
    {
        using Opened fresh = Open(options ?? Options);
        fresh.Context.Prefill(Tokens.AsSpan(0, Context));
        if (!Probe(context).BitEquals(Probe(fresh.Context)))
        {
            throw new InvalidOperationException("The context no longer gives what a fresh one gives.");
        }
    }

    private sealed record Opened(EdgeModel Model, EdgeSession Session) : IDisposable
    {
        public KvContext Context { get; } = Session.Kv!;

        public void Dispose()
        {
            Session.Dispose();
            Model.Dispose();
        }
    }

    private sealed class Callback(Action<double> report) : IProgress<double>
    {
        public void Report(double value) => report(value);
    }
}
