#pragma once

#include <cstdint>
#include <span>

/// y[m] = sum over k of weights[m][k] * x[k]: weights -1, 0 and +1, row after row; exact.
void my_ternary_product(std::span<const std::int8_t> weights, std::span<const std::int8_t> x,
                        std::span<std::int32_t> y);

/// y = x / (1 + exp(-x))
void my_silu(std::span<const float> x, std::span<float> y);
