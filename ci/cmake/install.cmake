# What is installed, in two components: `runtime`, the commands with their manual pages, completion, bundled model and
# suites; `development`, the libraries with their headers and find_package(crossval). No tests, no benchmarks. Everything
# is found from where it lies, so the installed tree can be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_headers ${CMAKE_INSTALL_INCLUDEDIR}/crossval)  # an include root: #include "engine/kernels/kernels.h" as in the tree
set(_config ${CMAKE_INSTALL_LIBDIR}/cmake/crossval)
set(_share ${CMAKE_INSTALL_DATADIR}/crossval)

# crossval_install_library(TARGET EXPORT NAMESPACE::NAME): TARGET is exported by that name, in the set EXPORT.
function(crossval_install_library target export name)
  string(REGEX REPLACE ".*::" "" name ${name})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${target} INTERFACE cxx_std_20)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${_headers}>)
  install(TARGETS ${target} EXPORT ${export}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
endfunction()

# crossval_install_targets_file(EXPORT NAMESPACE): the file that imports the set.
function(crossval_install_targets_file export namespace)
  install(EXPORT ${export} NAMESPACE ${namespace}:: DESTINATION ${_config} COMPONENT development)
endfunction()

function(crossval_install_headers)
  foreach(room ${ARGN})
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${room} DESTINATION ${_headers} COMPONENT development
            FILES_MATCHING PATTERN "*.h" PATTERN "kernels.inc"
            PATTERN "test_*" EXCLUDE PATTERN "testing" EXCLUDE PATTERN "fuzz_*" EXCLUDE PATTERN "*_fixture.h" EXCLUDE
            PATTERN "kernel_checks.h" EXCLUDE PATTERN "guarded.h" EXCLUDE PATTERN "trapped.h" EXCLUDE
            PATTERN "temporary_directory.h" EXCLUDE PATTERN "about" EXCLUDE PATTERN "cli" EXCLUDE
            PATTERN "llama_adapter" EXCLUDE PATTERN "page" EXCLUDE
            REGEX "/(scalar|avx2|avx512vnni|avx_vnni|neon|neon_dotprod|neon_i8mm)$" EXCLUDE)
  endforeach()
endfunction()

# A command with its manual page and completion; further arguments go to install(TARGETS).
function(crossval_install_command target)
  install(TARGETS ${target} ${ARGN} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
  install(FILES ${PROJECT_BINARY_DIR}/share/man/man1/${target}.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
          COMPONENT runtime)
  set(scripts ${PROJECT_BINARY_DIR}/share/completion/${target})
  install(FILES ${scripts}.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${target}
          COMPONENT runtime)
  install(FILES ${scripts}.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _${target}
          COMPONENT runtime)
  install(FILES ${scripts}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT runtime)
endfunction()

crossval_install_library(bitnet_engine bitnetTargets bitnet::engine)
crossval_install_headers(engine)
crossval_install_command(bitnet)
if(NOT CROSSVAL_ENGINE_ONLY)
  crossval_install_library(bitnet_safetensors bitnetLibraryTargets bitnet::safetensors)
  crossval_install_library(bitnet_cli bitnetLibraryTargets bitnet::cli)
  crossval_install_library(crossval_reference crossvalTargets crossval::reference)
  crossval_install_library(crossval_reports crossvalTargets crossval::reports)
  crossval_install_library(crossval_core crossvalTargets crossval::crossval)
  crossval_install_headers(reference crossval reports)
  install(FILES ${PROJECT_BINARY_DIR}/crossval/generated/crossval/version.h DESTINATION ${_headers}/crossval
          COMPONENT development)
  set_target_properties(crossval PROPERTIES EXPORT_NAME command)  # crossval::command, for crossval_add_test
  crossval_install_command(crossval EXPORT crossvalTargets)
  if(TARGET crossval-llama-adapter)
    install(TARGETS crossval-llama-adapter RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
  endif()
  if(TARGET crossval_gtest)
    crossval_install_library(crossval_gtest crossvalGtestTargets crossval::gtest)
    crossval_install_targets_file(crossvalGtestTargets crossval)
  endif()
  crossval_install_targets_file(bitnetLibraryTargets bitnet)
  crossval_install_targets_file(crossvalTargets crossval)
endif()
crossval_install_targets_file(bitnetTargets bitnet)

set(_fixtures ${PROJECT_SOURCE_DIR}/fixtures)
install(FILES ${_fixtures}/model/bundled.gguf ${_fixtures}/model/awkward.gguf DESTINATION ${_share}/model COMPONENT runtime)
install(DIRECTORY ${_fixtures}/suites DESTINATION ${_share} COMPONENT runtime FILES_MATCHING PATTERN "*.json")
if(EXISTS ${PROJECT_SOURCE_DIR}/ci/gates.json)
  install(FILES ${PROJECT_SOURCE_DIR}/ci/gates.json DESTINATION ${_share} COMPONENT runtime)
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/crossval-config.cmake.in
                              ${PROJECT_BINARY_DIR}/crossval-config.cmake INSTALL_DESTINATION ${_config} PATH_VARS _share)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/crossval-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/crossval-config.cmake ${PROJECT_BINARY_DIR}/crossval-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/crossval_add_test.cmake
        DESTINATION ${_config} COMPONENT development)
