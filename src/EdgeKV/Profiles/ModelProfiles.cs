using System.Runtime.CompilerServices;
using EdgeKV.Models;

namespace EdgeKV.Profiles;

/// <summary>Models' profiles.</summary>
public static class ModelProfiles
{
    private static readonly ConditionalWeakTable<EdgeModel, Lazy<ScoreProfile?>> Known = [];

    extension(EdgeModel model)
    {
        /// <summary>
        /// What was learned about this model, so that tokens are scored as they are read: the file that
        /// <see cref="ProfileLocator.Find(string)"/> finds, read when it is first asked for; null when there is none.
        /// </summary>
        /// <exception cref="ProfileException">The file is damaged, of another version, or was made for another model; the message names it.</exception>
        /// <exception cref="ModelException">The model's file cannot be read any more.</exception>
        public ScoreProfile? Profile => Known.GetValue(
            model, static key => new Lazy<ScoreProfile?>(() => Load(key), LazyThreadSafetyMode.PublicationOnly)).Value;
    }

    private static ScoreProfile? Load(EdgeModel model)
    {
        if (model.Path.Length == 0 || ProfileLocator.Find(model.Path) is not { } file)
        {
            return null;
        }

        ScoreProfile profile = ScoreProfile.Load(file);
        profile.EnsureFits(model);
        return profile;
    }
}
