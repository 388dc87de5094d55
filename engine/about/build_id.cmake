# Writes OUT, a source that says what this build is: GIVEN, or git's description of SOURCE. OUT is touched only where
# that changed.
set(id "${GIVEN}")
if(NOT id AND EXISTS "${SOURCE}/.git")
  execute_process(COMMAND git describe --tags --always --dirty WORKING_DIRECTORY "${SOURCE}"
                  OUTPUT_VARIABLE id OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT id)
  set(id "sources without git")
endif()
file(CONFIGURE OUTPUT "${OUT}" CONTENT [[
#include "engine/about/about.h"

namespace bitnet::about {

std::string_view build_id() {
  return "@id@";
}

}  // namespace bitnet::about
]] @ONLY)
