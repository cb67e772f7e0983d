#include "tests/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace buurtlog::tests {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTops[] = {"libs", "services", "tools", "tests", "proto"};

fs::path Root() { return fs::path(BUURTLOG_SOURCE_DIR); }

std::string ReadText(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Walks C++ text once and blanks what is not code.
class Blanker {
 public:
  explicit Blanker(absl::string_view text) : text_(text), out_(text) {}

  std::string Run() {
    while (at_ < text_.size()) {
      if (Rest("//")) {
        BlankUntil(EndOfLine());
      } else if (Rest("/*")) {
        BlankUntil(After("*/", at_ + 2));
      } else if (Rest("R\"")) {
        RawString();
      } else if (text_[at_] == '"') {
        Literal('"');
      } else if (text_[at_] == '\'' && !InNumber()) {
        Literal('\'');
      } else if (text_[at_] == '#' && FirstOnLine()) {
        BlankUntil(EndOfDirective());
      } else {
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  bool Rest(absl::string_view token) const { return absl::StartsWith(text_.substr(at_), token); }
  bool InNumber() const {
    return at_ > 0 && (std::isxdigit(static_cast<unsigned char>(text_[at_ - 1])) != 0);
  }
  bool FirstOnLine() const {
    const size_t line = text_.rfind('\n', at_);
    const size_t begin = line == absl::string_view::npos ? 0 : line + 1;
    return text_.substr(begin, at_ - begin).find_first_not_of(' ') == absl::string_view::npos;
  }
  size_t EndOfLine() const { return std::min(text_.find('\n', at_), text_.size()); }
  size_t EndOfDirective() const {
    size_t end = EndOfLine();
    while (end < text_.size() && text_[end - 1] == '\\') {
      end = std::min(text_.find('\n', end + 1), text_.size());
    }
    return end;
  }
  size_t After(absl::string_view token, size_t from) const {
    const size_t found = text_.find(token, from);
    return found == absl::string_view::npos ? text_.size() : found + token.size();
  }
  void BlankUntil(size_t end) {
    for (; at_ < end; ++at_) {
      if (out_[at_] != '\n') out_[at_] = ' ';
    }
  }
  void RawString() {
    const size_t open = text_.find('(', at_);
    if (open == absl::string_view::npos) return BlankUntil(text_.size());
    const std::string close = absl::StrCat(")", text_.substr(at_ + 2, open - at_ - 2), "\"");
    BlankUntil(After(close, open));
  }
  void Literal(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote && text_[end] != '\n') {
      end += text_[end] == '\\' ? 2 : 1;
    }
    ++at_;  // the quotes stay, so that a call with a text still looks like one
    BlankUntil(std::min(end, text_.size()));
    if (at_ < text_.size()) ++at_;
  }

  absl::string_view text_;
  std::string out_;
  size_t at_ = 0;
};

std::vector<std::string> SplitLines(absl::string_view text) {
  std::vector<std::string> lines = absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
  return lines;
}

bool IsSource(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".h" || extension == ".cc" || extension == ".proto";
}

// The first word behind a template's parameter list.
bool OpensContainer(absl::string_view head) {
  head = absl::StripLeadingAsciiWhitespace(head);
  if (absl::ConsumePrefix(&head, "template")) {
    int depth = 0;
    while (!head.empty()) {
      if (head.front() == '<') ++depth;
      const bool closes = head.front() == '>' && --depth == 0;
      head.remove_prefix(1);
      if (closes) break;
    }
    head = absl::StripLeadingAsciiWhitespace(head);
  }
  for (absl::string_view word : {"namespace", "inline namespace", "class", "struct", "union",
                                 "enum", "extern \"", "public:", "private:", "protected:"}) {
    if (absl::StartsWith(head, word)) {
      if (!absl::EndsWith(word, ":")) return true;
      return OpensContainer(head.substr(word.size()));
    }
  }
  return false;
}

}  // namespace

std::string SourceFile::Folder() const { return fs::path(path).parent_path().string(); }
std::string SourceFile::Name() const { return fs::path(path).filename().string(); }
bool SourceFile::IsHeader() const { return absl::EndsWith(path, ".h"); }
bool SourceFile::IsCpp() const { return IsHeader() || absl::EndsWith(path, ".cc"); }
bool SourceFile::IsProto() const { return absl::EndsWith(path, ".proto"); }
bool SourceFile::IsTest() const {
  const std::string stem = fs::path(path).stem().string();
  return absl::StartsWith(path, "tests/") || absl::EndsWith(stem, "_test") ||
         absl::StrContains(path, "/testing/");
}

SourceFile MakeSourceFile(std::string path, absl::string_view text) {
  SourceFile file;
  file.path = std::move(path);
  file.lines = SplitLines(text);
  if (file.IsCpp()) file.code = SplitLines(Blanker(text).Run());
  return file;
}

std::vector<std::string> AllPaths() {
  std::vector<std::string> paths;
  for (const char* const top : kTops) {
    if (!fs::is_directory(Root() / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(Root() / top)) {
      if (absl::StrContains(entry.path().string(), "/node_modules")) continue;
      paths.push_back(fs::relative(entry.path(), Root()).string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

const std::vector<SourceFile>& SourceTree() {
  static const auto* const kTree = [] {
    auto* tree = new std::vector<SourceFile>();
    for (const std::string& path : AllPaths()) {
      const fs::path full = Root() / std::string(path);
      if (!IsSource(full) || !fs::is_regular_file(full)) continue;
      tree->push_back(MakeSourceFile(path, ReadText(full)));
    }
    return tree;
  }();
  return *kTree;
}

std::vector<std::string> ReadLines(absl::string_view path) {
  const fs::path full = Root() / std::string(path);
  if (!fs::is_regular_file(full)) return {};
  return SplitLines(ReadText(full));
}

bool ExistsInTree(absl::string_view path) { return fs::exists(Root() / std::string(path)); }

std::string At(const SourceFile& file, size_t line_index) {
  return absl::StrCat(file.path, ":", line_index + 1, ": ");
}

std::vector<Include> IncludesOf(const SourceFile& file) {
  std::vector<Include> includes;
  for (size_t i = 0; i < file.lines.size(); ++i) {
    absl::string_view line = absl::StripLeadingAsciiWhitespace(file.lines[i]);
    if (!absl::ConsumePrefix(&line, "#include ") || line.empty()) continue;
    const char close = line.front() == '<' ? '>' : '"';
    const size_t end = line.find(close, 1);
    if (end == absl::string_view::npos) continue;
    includes.push_back({i, std::string(line.substr(1, end - 1)), close == '"'});
  }
  return includes;
}

std::vector<FunctionBody> FunctionBodiesOf(const SourceFile& file) {
  enum class Scope { kContainer, kFunction, kInside };
  std::vector<Scope> scopes;
  std::vector<FunctionBody> bodies;
  std::string head;  // what stands since the last statement or block
  size_t function_line = 0;
  for (size_t i = 0; i < file.code.size(); ++i) {
    for (const char c : file.code[i]) {
      if (c == '{') {
        const bool outside = scopes.empty() || scopes.back() == Scope::kContainer;
        const bool block = head.empty() || absl::EndsWith(head, " ");
        const bool value = absl::EndsWith(absl::StripTrailingAsciiWhitespace(head), "=");
        if (outside && block && OpensContainer(head)) {
          scopes.push_back(Scope::kContainer);
        } else if (outside && block && !value && absl::StrContains(head, "(")) {
          scopes.push_back(Scope::kFunction);
          function_line = i;
        } else {
          scopes.push_back(Scope::kInside);
          continue;  // the head goes on behind a value
        }
        head.clear();
      } else if (c == '}') {
        if (scopes.empty()) continue;  // not code we understand; clang reads it better
        if (scopes.back() == Scope::kFunction) {
          bodies.push_back({function_line, i - function_line + 1});
        }
        if (scopes.back() != Scope::kInside) head.clear();
        scopes.pop_back();
      } else if (c == ';') {
        if (scopes.empty() || scopes.back() == Scope::kContainer) head.clear();
      } else if (scopes.empty() || scopes.back() == Scope::kContainer) {
        head.push_back(c);
      }
    }
    head.push_back(' ');
  }
  return bodies;
}

}  // namespace buurtlog::tests
