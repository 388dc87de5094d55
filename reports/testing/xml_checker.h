#pragma once
// A strict reader of XML 1.0, as much of it as a JUnit document uses: no DTD, no comments, no namespaces.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace crossval::reports::testing {

struct XmlElement {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  ///< of this element alone, references resolved
  std::vector<std::unique_ptr<XmlElement>> children;

  /// All below this one with the name, in document order.
  std::vector<const XmlElement*> all(std::string_view wanted) const;
};

/// Throws std::runtime_error that says what is wrong and where: not well-formed, a character that XML 1.0
/// does not allow (not even as a reference), ill-formed UTF-8, an attribute given twice, a line feed or tab
/// in an attribute.
std::unique_ptr<XmlElement> parse_xml(std::string_view document);

}  // namespace crossval::reports::testing
