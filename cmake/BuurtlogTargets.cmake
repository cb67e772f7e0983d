include(GoogleTest)

# How much longer everything may take under a sanitizer: the limits of ctest, and the waits of tests (libs/base/testing/patience.h).
# Nowhere else is more time given.
set(BUURTLOG_PATIENCE 1)
if(BUURTLOG_SANITIZE MATCHES thread)
  set(BUURTLOG_PATIENCE 10)
elseif(BUURTLOG_SANITIZE)
  set(BUURTLOG_PATIENCE 4)
endif()

# Headers of others, compiled once: an object takes a fifth of the time. With -DBUURTLOG_PRECOMPILE=OFF every file reads its own.
option(BUURTLOG_PRECOMPILE "Compile the headers of other people's libraries once for all files" ON)
if(BUURTLOG_PRECOMPILE)
  set(empty ${CMAKE_BINARY_DIR}/precompiled.cc)
  file(GENERATE OUTPUT ${empty} CONTENT "")
  foreach(headers buurtlog_precompiled buurtlog_precompiled_tests)
    add_library(${headers} OBJECT ${empty})
    target_include_directories(${headers} PRIVATE ${CMAKE_SOURCE_DIR})
    # In angle brackets, so that the checkout's path is not in it and ccache finds it for another clone.
    target_precompile_headers(${headers} PRIVATE <cmake/${headers}.h>)
  endforeach()
  target_link_libraries(buurtlog_precompiled_tests PRIVATE GTest::gmock GTest::gtest)
endif()

# buurtlog_precompile(TARGET HEADERS): TARGET is compiled with the precompiled HEADERS.
function(buurtlog_precompile target headers)
  if(BUURTLOG_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${headers})
  endif()
endfunction()

# What every program is linked with.
function(buurtlog_link_program name)
  if(BUURTLOG_SANITIZE MATCHES thread)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:buurtlog_thread_sanitizer>)
  endif()
endfunction()

# buurtlog_library(NAME SOURCES ... LIBS ...): a static library `buurtlog_NAME`.
function(buurtlog_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(buurtlog_${name} STATIC ${ARG_SOURCES})
  target_include_directories(buurtlog_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(buurtlog_${name} PUBLIC ${ARG_LIBS})
  buurtlog_precompile(buurtlog_${name} buurtlog_precompiled)
endfunction()

# buurtlog_executable(NAME SOURCES ... LIBS ...): an executable in build/<preset>/bin.
function(buurtlog_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
  buurtlog_precompile(${name} buurtlog_precompiled)
  buurtlog_link_program(${name})
  if(BUURTLOG_ALLOCATOR)
    target_link_libraries(${name} PRIVATE ${BUURTLOG_ALLOCATOR})
  endif()
endfunction()

# buurtlog_places(SOURCES ...): these files may name BUURTLOG_SOURCE_DIR and BUURTLOG_BIN_DIR. No others: a compiler's cache has
# nothing for a file that names its checkout.
function(buurtlog_places)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_DEFINITIONS
    BUURTLOG_SOURCE_DIR="${CMAKE_SOURCE_DIR}" BUURTLOG_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endfunction()

# buurtlog_test(NAME SOURCES ... LIBS ... [TIMEOUT seconds] [DEPENDS executables ...]): a GoogleTest executable; each of
# its tests is one test of ctest, so that `./test PART` can run it by name. In a build with sanitizers tests/sanitizers/watch runs it.
function(buurtlog_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;FIXTURE" "SOURCES;LIBS;DEPENDS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR timeout "${ARG_TIMEOUT} * ${BUURTLOG_PATIENCE}")
  set(fixture)
  if(ARG_FIXTURE)
    set(fixture FIXTURES_REQUIRED ${ARG_FIXTURE})
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest GTest::gtest_main)
  buurtlog_precompile(${name} buurtlog_precompiled_tests)
  buurtlog_link_program(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  if(BUURTLOG_SANITIZE)
    set_target_properties(${name} PROPERTIES
      CROSSCOMPILING_EMULATOR "${CMAKE_SOURCE_DIR}/tests/sanitizers/watch;${CMAKE_BINARY_DIR}/sanitizer-reports")
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${timeout} ${fixture})
endfunction()

# buurtlog_test_again(NAME PREFIX prefix FIXTURE fixture LOG log [FILTER filter] [TIMEOUT seconds]): the same tests once more, by the
# names PREFIX/suite.test, on another log (libs/kafka/testing/test_cluster.h).
function(buurtlog_test_again name)
  cmake_parse_arguments(ARG "" "PREFIX;FIXTURE;LOG;FILTER;TIMEOUT" "" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR timeout "${ARG_TIMEOUT} * ${BUURTLOG_PATIENCE}")
  set(filter)
  if(ARG_FILTER)
    set(filter TEST_FILTER ${ARG_FILTER})
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX ${ARG_PREFIX}/ TEST_LIST ${name}_${ARG_PREFIX} ${filter}
    PROPERTIES TIMEOUT ${timeout} FIXTURES_REQUIRED ${ARG_FIXTURE} ENVIRONMENT BUURTLOG_TEST_LOG=${ARG_LOG})
endfunction()
