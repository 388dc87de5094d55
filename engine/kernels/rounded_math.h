#pragma once
// Correctly rounded sine, cosine and power, the same on every platform (design.md 9): libm's differ in the
// last bit from one system to the next, and a RoPE table would differ with them.

namespace bitnet {

/// The binary32 nearest to sin(x), cos(x), for every finite x. NaN and infinities give NaN.
float rounded_sin(float x);
float rounded_cos(float x);
/// The binary32 nearest to base^exponent, for finite base > 0 and finite exponent; overflow gives infinity,
/// underflow is correctly rounded too. Other arguments give NaN.
float rounded_pow(float base, float exponent);

}  // namespace bitnet
