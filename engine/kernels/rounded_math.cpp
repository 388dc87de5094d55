#include "engine/kernels/rounded_math.h"
