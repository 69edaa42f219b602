#:project ../../tests/EdgeKV.Testing/EdgeKV.Testing.csproj
#:property PublishAot=false

// Prints where a tiny random-weight model lies, which it writes first if need be: what edgekv_tests is run with.
using EdgeKV.Testing;

Console.WriteLine(TinyModels.PathOf(TinyModel.LlamaGrouped));
