#:project ../../tests/EdgeKV.Testing/EdgeKV.Testing.csproj
#:property PublishAot=false

// Prints where tiny random-weight models lie, which it writes first if need be: what edgekv_tests is run with, whole with the first.
using EdgeKV.Testing;

foreach (TinyModel model in new[] { TinyModel.LlamaGrouped, TinyModel.Qwen2, TinyModel.Qwen3, TinyModel.Phi3 })
{
    Console.WriteLine(TinyModels.PathOf(model));
}
