# crossval_add_test(NAME name MODEL file PROMPTS file
#                   [CANDIDATE participant] [REFERENCE participant] [GATES file] [FILTER glob]
#                   [LABELS label...] [TIMEOUT seconds] [OUT folder] [ARGUMENTS word...])
#
# One run of crossval as a test of CTest: it passes on exit code 0 alone, so that a failed gate, a missing model and a
# participant that died are failures, never skips. The report is in OUT (default: crossval/NAME in the current build
# folder). Labels: crossval and those given. Tests of one machine do not run at the same time (RESOURCE_LOCK
# crossval-machine), since each uses all of its cores.
function(crossval_add_test)
  set(once NAME MODEL PROMPTS CANDIDATE REFERENCE GATES FILTER TIMEOUT OUT)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "${once}" "LABELS;ARGUMENTS")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "crossval_add_test: unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(ARG_KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "crossval_add_test: without a value: ${ARG_KEYWORDS_MISSING_VALUES}")
  endif()
  foreach(required NAME MODEL PROMPTS)
    if(NOT ARG_${required})
      message(FATAL_ERROR "crossval_add_test: ${required} is missing")
    endif()
  endforeach()
  if(NOT ARG_OUT)
    set(ARG_OUT ${CMAKE_CURRENT_BINARY_DIR}/crossval/${ARG_NAME})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 1500)
  endif()

  # Files of the source folder may be named as there; a participant may be anything.
  foreach(file MODEL PROMPTS GATES)
    if(ARG_${file})
      cmake_path(ABSOLUTE_PATH ARG_${file} BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    endif()
  endforeach()
  set(words run --model ${ARG_MODEL} --prompts ${ARG_PROMPTS} --out ${ARG_OUT} --quiet)
  foreach(option CANDIDATE REFERENCE GATES FILTER)
    if(ARG_${option})
      string(TOLOWER ${option} flag)
      list(APPEND words --${flag} "${ARG_${option}}")
    endif()
  endforeach()

  add_test(NAME ${ARG_NAME} COMMAND crossval::command ${words} ${ARG_ARGUMENTS})
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "crossval;${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
                       RESOURCE_LOCK crossval-machine)
endfunction()
