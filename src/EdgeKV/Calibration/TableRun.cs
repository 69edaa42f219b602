using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Calibration;

/// <summary>Runs a <see cref="TableCalibration"/> from where it was, and writes how far it is after every unit.</summary>
internal sealed class TableRun
{
    private const string FirstLine = "EDGEKV-TABLE 1\n";

    private readonly TableCalibration _calibration;
    private readonly string _key;
    private readonly string? _checkpoint;
    private readonly double[] _sums;
    private long _done;

    /// <param name="calibration">What is found.</param>
    /// <param name="model">Of which model.</param>
    /// <param name="checkpoint">Where to write how far it is, without the key that tells runs apart; null: nowhere.</param>
    public TableRun(TableCalibration calibration, EdgeModel model, string? checkpoint)
    {
        _calibration = calibration;
        _key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(
            string.Join('\0', model.Fingerprint, calibration.Table, calibration.Settings))));
        _checkpoint = checkpoint is null ? null : OutputFile.Companion(checkpoint, $".{calibration.Table}.{_key[..12]}");
        _sums = new double[calibration.Length];
    }

    /// <summary>Does what is left to do.</summary>
    /// <param name="report">Gets what is being done, and the share of the units that are done.</param>
    /// <param name="cancellation">Stops the work; the unit at hand is lost.</param>
    public async Task<ProfileTable> RunAsync(Action<CalibrationStage, double>? report, CancellationToken cancellation)
    {
        if (_checkpoint is not null && !Read(_checkpoint))
        {
            // Now rather than after the first minutes: it may be that it cannot be written.
            Write(_checkpoint);
        }

        try
        {
            await AddAsync(report, cancellation).ConfigureAwait(false);
        }
        catch (Exception) when (_done == 0)
        {
            // There is nothing to go on from.
            Forget();
            throw;
        }

        return _calibration.Finish(_sums);
    }

    /// <summary>Forgets how far it was.</summary>
    public void Forget()
    {
        if (_checkpoint is not null)
        {
            File.Delete(_checkpoint);
        }
    }

    private async Task AddAsync(Action<CalibrationStage, double>? report, CancellationToken cancellation)
    {
        for (int unit = (int)_done; unit < _calibration.Units; unit++)
        {
            cancellation.ThrowIfCancellationRequested();
            await _calibration.AddAsync(unit, _sums, cancellation).ConfigureAwait(false);
            _done = unit + 1;
            if (_checkpoint is not null)
            {
                Write(_checkpoint);
            }

            report?.Invoke(_calibration.Stage(unit), (double)_done / _calibration.Units);
        }
    }

    private bool Read(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        try
        {
            using FileStream file = InputFile.Open(path);
            byte[] all = new byte[file.Length];
            file.ReadExactly(all);
            byte[] head = Encoding.ASCII.GetBytes(FirstLine + _key);
            int length = head.Length + sizeof(long) + _sums.Length * sizeof(double);
            if (all.Length != length + SHA256.HashSizeInBytes
                || !all.AsSpan(0, head.Length).SequenceEqual(head)
                || !SHA256.HashData(all.AsSpan(0, length)).AsSpan().SequenceEqual(all.AsSpan(length)))
            {
                throw new ProfileException($"{path} is damaged, or no checkpoint of this calibration. Delete it to begin anew.");
            }

            _done = MemoryMarshal.Read<long>(all.AsSpan(head.Length));
            all.AsSpan(head.Length + sizeof(long), _sums.Length * sizeof(double)).CopyTo(MemoryMarshal.AsBytes(_sums.AsSpan()));
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ProfileException($"The checkpoint {path} cannot be read: {e.Message.TrimEnd('.')}. Delete it to begin anew.", e);
        }
    }

    private void Write(string path)
    {
        byte[] all = [.. Encoding.ASCII.GetBytes(FirstLine + _key), .. BitConverter.GetBytes(_done), .. MemoryMarshal.AsBytes(_sums.AsSpan())];
        OutputFile.MakeFolder(path);
        OutputFile.Write(path, file =>
        {
            file.Write(all);
            file.Write(SHA256.HashData(all));
        });
    }
}
