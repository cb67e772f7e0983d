# How everything is compiled and linked, and the Debian packages that stand behind it.

set(BUURTLOG_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize")

# Dev: assertions on, light optimisation, line tables only: the quickest build that is still pleasant to debug.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG" CACHE STRING "" FORCE)

# Asked for by gRPC's and protobuf's package files, and for all, as precompiled headers want the same macros everywhere.
add_compile_definitions(NOMINMAX)
add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND (CMAKE_BUILD_TYPE STREQUAL "Release" OR BUURTLOG_SANITIZE))
  # With -O2, and with what a sanitizer adds, GCC 12 warns so of moves and concatenations of std::string and absl::StatusOr that
  # are right (its bugs 105329 and 105562). The dev build and the sanitizers themselves look for the same mistakes.
  add_compile_options(-Wno-array-bounds -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
endif()
if(BUURTLOG_SANITIZE)
  add_compile_options(-fsanitize=${BUURTLOG_SANITIZE})
  add_link_options(-fsanitize=${BUURTLOG_SANITIZE})
endif()
if(BUURTLOG_SANITIZE MATCHES thread)
  # Debian's libraries are not instrumented, so their headers must not think so: protobuf's maps would have two fields more
  # than in libprotobuf. Only the standard library's reference counts are to be written as the sanitizer understands them.
  add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
endif()

find_program(BUURTLOG_CCACHE ccache)
if(BUURTLOG_CCACHE)
  # Paths relative to the checkout, so that another build folder or clone finds what this one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
                                  CCACHE_SLOPPINESS=pch_defines,time_macros ${BUURTLOG_CCACHE})
endif()
find_program(BUURTLOG_MOLD mold)
if(BUURTLOG_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12.1)
  add_link_options(-fuse-ld=mold)
endif()

# What is installed allocates with tcmalloc; a sanitizer brings an allocator of its own.
if(NOT BUURTLOG_SANITIZE)
  find_library(BUURTLOG_ALLOCATOR tcmalloc_minimal REQUIRED)
endif()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(GTest REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PROTOBUF REQUIRED IMPORTED_TARGET protobuf)
pkg_check_modules(LIBDEFLATE REQUIRED IMPORTED_TARGET libdeflate)
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka)
pkg_check_modules(GRPC REQUIRED IMPORTED_TARGET grpc++)
find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
