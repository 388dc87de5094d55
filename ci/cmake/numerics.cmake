# One result, everywhere: no target may let the compiler reassociate or contract floating point.
string(JOIN " " _all_flags "${CMAKE_CXX_FLAGS}" "${CMAKE_CXX_FLAGS_RELEASE}" "${CMAKE_CXX_FLAGS_DEBUG}"
       "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}" "$ENV{CXXFLAGS}")
foreach(_bad -ffast-math -Ofast -funsafe-math-optimizations -fassociative-math -freciprocal-math
             -ffinite-math-only -fno-signed-zeros -ffp-contract=fast -ffp-contract=on)
  if(" ${_all_flags} " MATCHES " ${_bad} ")
    message(FATAL_ERROR "crossval: the flag ${_bad} changes floating-point results; remove it from CXXFLAGS")
  endif()
endforeach()
add_compile_options(-ffp-contract=off)
