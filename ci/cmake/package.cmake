# cpack -G DEB: the packages crossval and libcrossval-dev (ci/package makes them reproducibly). What crossval depends on
# follows from the libraries it was linked with.
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
set(_debian ${PROJECT_SOURCE_DIR}/ci/debian)

# Debian's files about a package; compressed without a date, so that the same sources give the same bytes.
foreach(package crossval libcrossval-dev)
  if(package STREQUAL crossval)
    set(component runtime)
  else()
    set(component development)
  endif()
  set(changelog ${PROJECT_BINARY_DIR}/debian/${package}/changelog.gz)
  add_custom_command(OUTPUT ${changelog}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/debian/${package}
    COMMAND gzip -9nc ${_debian}/changelog > ${changelog}
    DEPENDS ${_debian}/changelog
    VERBATIM)
  add_custom_target(changelog_${package} ALL DEPENDS ${changelog})
  install(FILES ${changelog} ${_debian}/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
endforeach()

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_NAME crossval)
set(CPACK_PACKAGE_VENDOR "The crossval authors")
set(CPACK_PACKAGE_CONTACT "The crossval authors <crossval-authors@users.noreply.github.com>")
# CPack puts any other summary before that of each component.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_NAME} built using CMake")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME crossval)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "parity tests of BitNet b1.58 inference engines
crossval drives two participants through the same tokens in lockstep,
compares every named activation of every layer and the logits of every
step, and gates CI with the verdict.

This package has the commands crossval and bitnet, a small trained model and
suites of prompts for it.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libcrossval-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "crossval (= ${PROJECT_VERSION}), nlohmann-json3-dev (>= 3.11), libcli11-dev (>= 2.1), libssl-dev, libboost-filesystem-dev (>= 1.74), libboost-system-dev (>= 1.74)")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "cmake (>= 3.25), g++")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libgtest-dev (>= 1.12)")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "parity tests of BitNet b1.58 inference engines - libraries
Headers and static libraries: the inference engine with its scalar kernels,
the comparison of two participants, GoogleTest matchers with the gates of
crossval, and find_package(crossval) with crossval_add_test() for CMake.")
include(CPack)
