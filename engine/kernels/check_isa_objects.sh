#!/bin/sh
# check_isa_objects.sh NM OBJECT...: fails when an object compiled for one instruction set defines a weak symbol. The
# linker keeps one copy of those, and it could be that object's copy which then runs on a machine without the
# instruction set.
nm=$1
shift
[ $# -gt 0 ] || { echo "no objects to check"; exit 1; }
weak=$("$nm" --demangle --defined-only --print-file-name "$@" | grep -E ' [WVuw] ')
[ -z "$weak" ] || { echo "weak symbols:"; echo "$weak"; exit 1; }
echo "$# objects, none with a weak symbol"
