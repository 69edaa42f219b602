// ggml's backends, where they are plug-ins.
#pragma once

namespace edgekv {

// Loads the CPU backend and every GPU backend in folder, if ggml has no device yet. A GPU backend that does not load is a warning. Throws EDGEKV_E_BACKEND.
void load_backends(const char * folder, const char * cpu);

} // namespace edgekv
