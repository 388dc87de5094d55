// Writes a small corpus for fuzz_bundle: fuzz_bundle_seeds DIRECTORY.

#include "engine/fuzz_seeds.h"
#include "crossval/replay/test_bundle.h"

int main(int argc, char** argv) {
  using bitnet::Tap;
  const crossval::Bundle product = crossval::testing::test_bundle();
  const auto other = [&](Tap tap, int layer, auto&& change) {
    crossval::Bundle b = product;
    crossval::SmallOperation& o = b.operation;
    o = {};
    o.tap = {tap, layer};
    o.columns = {0, 1};
    change(o);
    return crossval::encode_bundle(b);
  };
  return bitnet::fuzzing::write_seeds("fuzz_bundle_seeds", argc, argv,
                                      {{"product", crossval::encode_bundle(product)},
                                       {"rope", other(Tap::q_rope, 0,
                                                      [](auto& o) {
                                                        o.heads = 1;
                                                        o.head_dim = o.n_rot = 2;
                                                        o.rope_base = 10000;
                                                        o.position = 3;
                                                        o.a = {1, 2};
                                                      })},
                                       {"scores", other(Tap::kq, 1,
                                                        [](auto& o) {
                                                          o.heads = 1;
                                                          o.head_dim = 2;
                                                          o.position = 1;
                                                          o.a = {1, 2};
                                                          o.history = {1, 2, 3, 4};
                                                        })},
                                       {"sum", other(Tap::l_out, 1,
                                                     [](auto& o) {
                                                       o.a = o.b = {1, 2};
                                                     })},
                                       {"head", other(Tap::result_output, -1, [](auto& o) {
                                          o.width = 128;
                                          o.a.resize(128);
                                          o.table_type = bitnet::TensorType::f16;
                                          o.table.resize(512);
                                        })}});
}
