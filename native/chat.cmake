# Chat templates: what is needed of llama.cpp's common/ and EdgeKV's own part over it, as the objects edgekv_chat of libllama. Their symbols
# are hidden, so that a program may bring a common/ of its own.
set(chat_common
    chat.cpp chat-auto-parser-generator.cpp chat-auto-parser-helpers.cpp chat-diff-analyzer.cpp chat-peg-parser.cpp
    json-schema-to-grammar.cpp peg-parser.cpp unicode.cpp
    jinja/caps.cpp jinja/lexer.cpp jinja/parser.cpp jinja/runtime.cpp jinja/string.cpp jinja/value.cpp)
list(TRANSFORM chat_common PREPEND ${LLAMA_DIR}/common/)
file(GLOB chat_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/edgekv/chat/*.cpp ${CMAKE_CURRENT_LIST_DIR}/edgekv/api/edgekv_chat.cpp)

add_library(edgekv_chat OBJECT ${chat_common} ${chat_sources})
target_include_directories(edgekv_chat PRIVATE ${CMAKE_CURRENT_LIST_DIR}/edgekv)
target_include_directories(edgekv_chat SYSTEM PRIVATE
    ${LLAMA_DIR} ${LLAMA_DIR}/common ${LLAMA_DIR}/vendor ${LLAMA_DIR}/include ${LLAMA_DIR}/src ${LLAMA_DIR}/ggml/include)
target_compile_definitions(edgekv_chat PRIVATE EDGEKV_BUILD LLAMA_BUILD LLAMA_SHARED)
set_target_properties(edgekv_chat PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
set_source_files_properties(${chat_sources} PROPERTIES COMPILE_OPTIONS "-Wall;-Wextra;-Werror")
# Half the size and a third of the time to compile; a prompt is written in milliseconds either way.
target_compile_options(edgekv_chat PRIVATE -Os)
if(EDGEKV_SANITIZE MATCHES "undefined")
    target_compile_options(edgekv_chat PRIVATE -fno-sanitize-recover=undefined)
endif()
