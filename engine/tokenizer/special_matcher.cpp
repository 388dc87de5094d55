#include "engine/tokenizer/special_matcher.h"

#include <algorithm>

namespace bitnet {

std::uint32_t SpecialMatcher::child(std::uint32_t node, std::uint8_t byte) const {
  if (node == kRoot) return root_children_[byte];
  const std::uint64_t found = children_.find(node, byte);
  return found == PairMap::kNone ? kRoot : static_cast<std::uint32_t>(found);
}

std::uint32_t SpecialMatcher::step(std::uint32_t node, std::uint8_t byte) const {
  while (node != kRoot) {
    if (const std::uint32_t next = child(node, byte); next != kRoot) return next;
    node = nodes_[node].fallback;
  }
  return root_children_[byte];
}

void SpecialMatcher::add(std::string_view text, std::int32_t token) {
  std::uint32_t node = kRoot;
  for (auto it = text.rbegin(); it != text.rend(); ++it) {
    const auto byte = static_cast<std::uint8_t>(*it);
    std::uint32_t next = child(node, byte);
    if (next == kRoot) {
      next = static_cast<std::uint32_t>(nodes_.size());
      Node made;
      made.parent = node;
      made.length = nodes_[node].length + 1;
      made.byte = byte;
      nodes_.push_back(made);
      if (node == kRoot) {
        root_children_[byte] = next;
      } else {
        children_.insert(node, byte, next);
      }
    }
    node = next;
  }
  nodes_[node].token = token;
  nodes_[node].order = added_++;
}

void SpecialMatcher::build() {
  // A fallback is shorter than its node, so nodes are visited by length.
  std::vector<std::uint32_t> by_length(nodes_.size() - 1);
  for (std::uint32_t i = 0; i < by_length.size(); ++i) by_length[i] = i + 1;
  std::stable_sort(by_length.begin(), by_length.end(),
                   [this](std::uint32_t a, std::uint32_t b) { return nodes_[a].length < nodes_[b].length; });
  for (const std::uint32_t i : by_length) {
    Node& node = nodes_[i];
    node.fallback = node.parent == kRoot ? kRoot : step(nodes_[node.parent].fallback, node.byte);
    const Node& fallback = nodes_[node.fallback];
    node.shorter = fallback.token != kText ? node.fallback : fallback.shorter;
  }
}

std::vector<SpecialMatcher::Fragment> SpecialMatcher::partition(std::string_view text) const {
  std::vector<Fragment> fragments;
  if (text.empty()) return fragments;

  // A token that could start at `begin`; shorter ones at the same place follow from its node.
  struct Candidate {
    std::uint32_t length;
    std::uint32_t order;
    std::size_t begin;
    std::uint32_t node;
  };
  std::vector<Candidate> queue;
  const auto candidate = [this](std::size_t begin, std::uint32_t node) {
    return Candidate{nodes_[node].length, nodes_[node].order, begin, node};
  };
  if (nodes_.size() > 1) {
    std::uint32_t state = kRoot;
    for (std::size_t i = text.size(); i-- > 0;) {
      state = step(state, static_cast<std::uint8_t>(text[i]));
      const std::uint32_t longest = nodes_[state].token != kText ? state : nodes_[state].shorter;
      if (longest != kRoot) queue.push_back(candidate(i, longest));
    }
  }
  if (queue.empty()) {
    fragments.push_back({0, text.size(), kText});
    return fragments;
  }

  const auto later = [](const Candidate& a, const Candidate& b) {
    if (a.length != b.length) return a.length < b.length;
    if (a.order != b.order) return a.order > b.order;
    return a.begin > b.begin;
  };
  std::make_heap(queue.begin(), queue.end(), later);
  std::vector<bool> taken(text.size());
  std::vector<Fragment> found;
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    Candidate c = queue.back();
    queue.pop_back();
    if (taken[c.begin]) continue;
    // What is taken is at least as long as this candidate: it overlaps where one of the two ends lies in it.
    if (!taken[c.begin + c.length - 1]) {
      std::fill_n(taken.begin() + static_cast<std::ptrdiff_t>(c.begin), c.length, true);
      found.push_back({c.begin, c.begin + c.length, nodes_[c.node].token});
      continue;
    }
    std::uint32_t node = nodes_[c.node].shorter;
    while (node != kRoot && taken[c.begin + nodes_[node].length - 1]) node = nodes_[node].shorter;
    if (node == kRoot) continue;
    queue.push_back(candidate(c.begin, node));
    std::push_heap(queue.begin(), queue.end(), later);
  }

  std::sort(found.begin(), found.end(),
            [](const Fragment& a, const Fragment& b) { return a.begin < b.begin; });
  std::size_t pos = 0;
  for (const Fragment& f : found) {
    if (f.begin > pos) fragments.push_back({pos, f.begin, kText});
    fragments.push_back(f);
    pos = f.end;
  }
  if (pos < text.size()) fragments.push_back({pos, text.size(), kText});
  return fragments;
}

}  // namespace bitnet
