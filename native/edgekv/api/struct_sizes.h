// The layout of llama.h's public structs as this library was built: a binding that passes them by value compares it with its own.
#pragma once

#include "edgekv.h"

#ifdef __cplusplus
extern "C" {
#endif

// Gives the size in bytes of the struct `name` of llama.h, "llama_model_params" say. Known are the structs that LLamaSharp declares.
// EDGEKV_E_ARGUMENT for a name that is not known.
EDGEKV_API int32_t edgekv_struct_size(const char * name, size_t * size);

// Gives the name, the offset and the size of a field. Two versions of a struct can have the same size and other fields.
//   index: the field in the order of declaration, 0-based
//   field: stays valid as long as the library is loaded
//   offset, size: in bytes
// EDGEKV_E_ARGUMENT for a struct that is not known, or an index behind its last field.
EDGEKV_API int32_t edgekv_struct_field(const char * name, int32_t index, const char ** field, size_t * offset, size_t * size);

#ifdef __cplusplus
}
#endif
