# Toolchain for 64-bit Arm, with Debian's g++-aarch64-linux-gnu; tests run under qemu-aarch64. Debian has no arm64
# builds of Boost, OpenSSL, RapidCheck and MPFR to link against beside the host's, so only the engine is built.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max)
set(CROSSVAL_ENGINE_ONLY ON)
set(CROSSVAL_GTEST_SOURCE /usr/src/googletest/googletest)
