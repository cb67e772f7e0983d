#include "tools/buurtlog/completion_command.h"

#include <iostream>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace buurtlog::command {
namespace {

// One line of the script's table for each command: its path, then the words that may follow.
void AddCases(const CLI::App& app, const std::string& path, std::string& cases,
              std::set<std::string>& with_value) {
  std::vector<std::string> words;
  for (const CLI::App* sub : app.get_subcommands(nullptr)) words.push_back(sub->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back(absl::StrCat("--", name));
    if (option->get_items_expected_max() == 0) continue;
    for (const std::string& name : option->get_lnames())
      with_value.insert(absl::StrCat("--", name));
    for (const std::string& name : option->get_snames()) with_value.insert(absl::StrCat("-", name));
  }
  absl::StrAppend(&cases, "    '", path, "') words='", absl::StrJoin(words, " "), "' ;;\n");
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    AddCases(*sub, absl::StrCat(path, path.empty() ? "" : " ", sub->get_name()), cases, with_value);
  }
}

}  // namespace

std::string CompletionScript(const CLI::App& app, const std::string& shell) {
  std::string cases;
  std::set<std::string> with_value;
  AddCases(app, "", cases, with_value);
  return absl::StrCat(
      shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "", R"(_buurtlog() {
  local path='' words='' word value=
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [ -n "$value" ]; then value=; continue; fi
    case "$word" in
      )",
      absl::StrJoin(with_value, "|"), R"() value=yes ;;
      -*) ;;
      *) path="${path:+$path }$word" ;;
    esac
  done
  while :; do
    case "$path" in
)",
      cases,
      R"(    *) case "$path" in *' '*) path="${path% *}"; continue ;; *) path=''; continue ;; esac ;;
    esac
    break
  done
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _buurtlog buurtlog
)");
}

void AddCompletionCommand(CLI::App& app, CommandLine& line) {
  auto shell = std::make_shared<std::string>("bash");
  CLI::App* completion = app.add_subcommand(
      "completion", "Prints a completion script: source <(buurtlog completion bash)");
  completion->add_option("SHELL", *shell, "bash or zsh")
      ->check(CLI::IsMember({"bash", "zsh"}))
      ->capture_default_str();
  completion->callback(Runs(line, [&app, shell](CommandLine&, const Output&) {
    std::cout << CompletionScript(app, *shell);
    return absl::OkStatus();
  }));
}

}  // namespace buurtlog::command
