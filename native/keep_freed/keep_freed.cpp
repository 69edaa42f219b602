// For tests on Mesa's software Vulkan device (LD_PRELOAD): small blocks that are freed stay as they are for a while.
//
// Debian 12's llvmpipe (Mesa 22.3) counts down references in objects that it has freed, with stock llama.cpp as with ours. In a block that malloc has put on a list of
// its own that ruins the heap; in one that waits here it does nothing.
#include <atomic>
#include <cstddef>
#include <malloc.h>

extern "C" void __libc_free(void *);

namespace {

constexpr size_t BLOCKS     = 1u << 20;
constexpr size_t BYTES_MOST = 8192;

std::atomic<void *> g_waiting[BLOCKS];
std::atomic<size_t> g_next;

} // namespace

extern "C" __attribute__((visibility("default"))) void free(void * block) noexcept {
    if (block && malloc_usable_size(block) <= BYTES_MOST) {
        block = g_waiting[g_next.fetch_add(1) % BLOCKS].exchange(block);
    }
    __libc_free(block);
}
