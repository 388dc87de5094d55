#include "my_kernels.h"

#include <cmath>

void my_ternary_product(std::span<const std::int8_t> weights, std::span<const std::int8_t> x,
                        std::span<std::int32_t> y) {
  for (std::size_t m = 0; m < y.size(); ++m) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::int8_t w = weights[m * x.size() + k];
      if (w > 0) sum += x[k];
#ifdef BREAK_THE_KERNEL
      if (w < 0 && k % 128 != 127) sum -= x[k];  // the last weight of each block is forgotten
#else
      if (w < 0) sum -= x[k];
#endif
    }
    y[m] = sum;
  }
}

void my_silu(std::span<const float> x, std::span<float> y) {
  for (std::size_t i = 0; i < x.size(); ++i) {
#ifdef BREAK_THE_KERNEL
    y[i] = x[i] / (1 + std::exp(x[i]));  // the sign of the exponent
#else
    y[i] = x[i] / (1 + std::exp(-x[i]));
#endif
  }
}
