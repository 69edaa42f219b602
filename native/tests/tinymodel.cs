#:project ../../bench/EdgeKV.Measurements/EdgeKV.Measurements.csproj
#:property PublishAot=false

// Prints where tiny random-weight models lie, which it writes first if need be: what edgekv_tests is run with, whole with the first.
using EdgeKV.Measurements.Subjects;

foreach (TinyModel model in new[] { TinyModel.LlamaGrouped, TinyModel.Qwen2, TinyModel.Qwen3, TinyModel.Phi3, TinyModel.OpenElm, TinyModel.Deci })
{
    Console.WriteLine(TinyModels.PathOf(model));
}
