// The checkout as the tests of form see it: its files, their lines, and the code without comments
// and text.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace buurtlog::tests {

struct SourceFile {
  std::string path;                // from the top of the checkout, `libs/base/clock.h`
  std::vector<std::string> lines;  // as written
  // The same lines for C++: comments, the content of literals and, in `code`, preprocessor lines
  // are blank, so that a word found here is a word of the program.
  std::vector<std::string> code;

  std::string Folder() const;
  std::string Name() const;
  bool IsHeader() const;
  bool IsCpp() const;
  bool IsProto() const;
  // Stands in tests/ or is called ..._test.*, or helps tests (a folder `testing`).
  bool IsTest() const;
};

// Every .h, .cc and .proto under libs, services, tools, tests and proto, sorted by path.
const std::vector<SourceFile>& SourceTree();

// Folders and files (paths from the top) under the same places.
std::vector<std::string> AllPaths();

// The lines of a file of the checkout; empty when there is none.
std::vector<std::string> ReadLines(absl::string_view path);
bool ExistsInTree(absl::string_view path);

// What a failure says: `path:line: `.
std::string At(const SourceFile& file, size_t line_index);

struct Include {
  size_t line_index = 0;
  std::string path;
  bool quoted = false;  // "..." rather than <...>
};
std::vector<Include> IncludesOf(const SourceFile& file);

struct FunctionBody {
  size_t first_line_index = 0;  // of the opening brace
  size_t lines = 0;             // from the opening brace to the closing one, both counted
};
// Needs code as clang-format leaves it: a brace after a space opens a body, one after a name a
// value.
std::vector<FunctionBody> FunctionBodiesOf(const SourceFile& file);

// For the tests of the above.
SourceFile MakeSourceFile(std::string path, absl::string_view text);

}  // namespace buurtlog::tests
