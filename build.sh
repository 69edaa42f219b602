#!/usr/bin/env bash
# Bootstraps the build: checks what the rest cannot install, then hands over to build.cake.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'EOF'
Usage: ./build.sh [TARGET] [OPTIONS]

Targets
  default    everything, native and managed; leaves a runnable artifacts/edgekv
  demo       asks the bundled model about a bundled document, from the full cache and from a fifth of it
  test       every test; ends with "N passed, N failed"
  figures    measures docs/experiments/figures.json and its table anew
  results    measures docs/experiments/results.md anew: hours, gone on with where it was cut short
  native     the native libraries only: artifacts/native and artifacts/stock
  charts     the library that reports are drawn with only, in artifacts/charts
  device     the tests of the path where the cache is not host memory, on a GPU or a software Vulkan device
  sanitize   the shim's own tests under AddressSanitizer and UndefinedBehaviorSanitizer
  pack       NuGet packages and their lists of parts in artifacts/packages
  pack-test  the same, and tries them as a user's programs would
  format     formats C# and C++ in place (--check: only says whether it would)
  clean      removes artifacts/

Options
  --backend NAME   cpu, vulkan, cuda (CUDA 13) or cuda12: which ggml backends lie beside the CPU's. Without it, those that are
                   there already; `test` and `figures` add vulkan where it can run, on a software device if need be
  --from-source    compiles the CPU backend too, rather than taking the prebuilt one
  -h, --help       this text

Environment
  EDGEKV_LLAMA_SOURCE   a git checkout of llama.cpp at the tag in native/llama.lock, instead of the source package
  EdgeKVBackend         Cpu (default), Cuda12 or Vulkan: the LLamaSharp.Backend package that programs are built with
  XDG_CACHE_HOME        downloads are kept in $XDG_CACHE_HOME/edgekv, else in ~/.cache/edgekv
EOF
}

fail() {
    echo "build.sh: $*" >&2
    exit 2
}

target=default
arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        --backend) [ $# -gt 1 ] || fail "--backend needs a name: cpu, vulkan, cuda or cuda12"; arguments+=("--backend=$2"); shift ;;
        --backend=*) arguments+=("$1") ;;
        --from-source | --check) arguments+=("$1=true") ;;
        default | demo | test | device | figures | results | native | charts | sanitize | pack | pack-test | format | clean) target=$1 ;;
        *) fail "'$1' is neither a target nor an option; ./build.sh --help lists them" ;;
    esac
    shift
done

command -v git >/dev/null || fail "git is missing. Install it (Debian, Ubuntu: apt-get install git) and run this again."
command -v dotnet >/dev/null || fail "the .NET SDK 10 is missing. Install it (https://dotnet.microsoft.com/download, or the package dotnet-sdk-10.0) and run this again."
version=$(dotnet --version 2>/dev/null) ||
    fail "no .NET SDK 10 here. 'dotnet --list-sdks' says: $(dotnet --list-sdks 2>/dev/null | cut -d' ' -f1 | paste -sd' ' -). Install it (https://dotnet.microsoft.com/download, or the package dotnet-sdk-10.0)."
case "$version" in
    10.*) ;;
    *) fail ".NET SDK 10 is needed, found $version. Install it (https://dotnet.microsoft.com/download, or the package dotnet-sdk-10.0)." ;;
esac

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
restored=$(dotnet tool restore 2>&1) || fail "'dotnet tool restore' failed:"$'\n'"$restored"
exec dotnet cake build.cake --verbosity=quiet --target="$target" ${arguments[@]+"${arguments[@]}"}
