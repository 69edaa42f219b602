// Tensor shapes of a GGUF file, looked at before ggml's own reader divides by them (llama-host.h).
#include "llama-host.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

namespace {

// Reads on as long as the file gives what is asked for. A file that does not is ggml's to refuse, which says what is wrong.
class reader {
public:
    explicit reader(const std::string & path) : m_file(path, std::ios::binary) {}

    explicit operator bool() const { return (bool) m_file; }

    template <typename T>
    T number() {
        T value{};
        m_file.read((char *) &value, sizeof value);
        return value;
    }

    // the name of a tensor
    std::string name() {
        const auto length = number<uint64_t>();
        if (length > MAX_NAME_BYTES) {
            m_file.setstate(std::ios::failbit);
            return {};
        }
        std::string value(length, '\0');
        m_file.read(value.data(), (std::streamsize) length);
        return value;
    }

    // Within the buffer of the stream where that is likely, else without reading. A place behind the file's end fails the next read.
    void skip(uint64_t bytes) {
        if (bytes < BUFFER_BYTES) {
            m_file.ignore((std::streamsize) bytes);
        } else {
            m_file.seekg((std::streamoff) std::min<uint64_t>(bytes, INT64_MAX), std::ios::cur);
        }
    }

    // a value of metadata
    void skip_value(uint32_t type) {
        constexpr uint32_t STRING = 8;
        constexpr uint32_t ARRAY  = 9;
        if (type == STRING) {
            skip(number<uint64_t>());
        } else if (type == ARRAY) {
            const auto element = number<uint32_t>();
            const auto count   = number<uint64_t>();
            if (element == STRING) {
                for (uint64_t i = 0; i < count && m_file; i++) {
                    skip(number<uint64_t>());
                }
            } else if (element != ARRAY && count < INT64_MAX / 8) {
                skip(count * size_of(element));
            } else {
                m_file.setstate(std::ios::failbit);
            }
        } else {
            skip(size_of(type));
        }
    }

private:
    static constexpr uint64_t MAX_NAME_BYTES = 1024; // ggml takes 63
    static constexpr uint64_t BUFFER_BYTES   = 4096;

    uint64_t size_of(uint32_t type) {
        switch (type) {
            case 0:
            case 1:
            case 7:
                return 1;
            case 2:
            case 3:
                return 2;
            case 4:
            case 5:
            case 6:
                return 4;
            case 10:
            case 11:
            case 12:
                return 8;
            default:
                m_file.setstate(std::ios::failbit);
                return 0;
        }
    }

    std::ifstream m_file;
};

} // namespace

void llama_check_shapes(const std::string & path) {
    reader file(path);
    char   magic[4];
    for (char & letter : magic) {
        letter = file.number<char>();
    }
    const auto version = file.number<uint32_t>();
    if (!file || std::memcmp(magic, "GGUF", sizeof magic) != 0 || version < 2 || version > 3) {
        return;
    }

    const auto tensors = file.number<int64_t>();
    const auto values  = file.number<int64_t>();
    for (int64_t i = 0; i < values && file; i++) {
        file.skip(file.number<uint64_t>());
        file.skip_value(file.number<uint32_t>());
    }
    for (int64_t i = 0; i < tensors && file; i++) {
        const std::string name       = file.name();
        const auto        dimensions = file.number<uint32_t>();
        for (uint32_t d = 0; d < dimensions && file; d++) {
            const auto size = file.number<int64_t>();
            if (file && size < 1) {
                throw std::runtime_error("the file's tensor " + name + " has a dimension of " + std::to_string(size) +
                                         "; it has to be 1 or more");
            }
        }
        file.number<uint32_t>(); // type
        file.number<uint64_t>(); // offset
    }
}
