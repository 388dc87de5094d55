# How every target of this project is made: warnings, sanitizers, tests.
include_directories(${PROJECT_SOURCE_DIR})
add_compile_options(-Wall -Wextra -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers
                    -Wnon-virtual-dtor -Wold-style-cast -Wundef
                    "$<$<CXX_COMPILER_ID:GNU>:-Wshadow=local;-Wno-restrict>" $<$<CXX_COMPILER_ID:Clang>:-Wshadow>)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(CROSSVAL_WERROR)
  add_compile_options(-Werror)
endif()
if(CROSSVAL_SANITIZE)
  add_compile_options(-fsanitize=${CROSSVAL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CROSSVAL_SANITIZE})
endif()

# crossval_unit_test(NAME SOURCES... LIBS...): one GoogleTest binary, registered case by case with CTest.
function(crossval_unit_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT CROSSVAL_BUILD_TESTS)
    return()
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(CMAKE_CROSSCOMPILING OR CROSSVAL_SANITIZE)
    math(EXPR ARG_TIMEOUT "4 * ${ARG_TIMEOUT}")  # emulated processors and sanitized programs are slow
  endif()
  add_executable(${name} ${ARG_SOURCES})
  # The code under test is in libraries and as fast as ever; of the tests' own, a third of the time to compile is saved,
  # with sanitizers half of it.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  if(CROSSVAL_SANITIZE)
    target_compile_options(${name} PRIVATE -O1 -g1)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE CROSSVAL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
                       PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
