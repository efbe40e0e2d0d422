/** Completions for shells: scripts, sub-commands, flags, and values where there is a list of them. Else files. */
import { UserError } from "../errors.ts";
import type { Typed } from "./words.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

const isShell = (name: string): name is Shell => SHELLS.some((shell) => shell === name);

/** Throws UserError for a shell that has no completions here. */
export function checkShell(name: string | undefined): Shell {
  if (name !== undefined && isShell(name)) return name;
  throw new UserError(
    `expected a shell but found ${name ?? "nothing"}`,
    `there are completions for ${SHELLS.join(", ")}: ingot completions bash`,
  );
}

/** What `ingot completions SHELL` prints. `others` are scripts without a table. */
export function completions(shell: Shell, typed: readonly Typed[], others: readonly string[]): string {
  const scripts = [...typed.map(({ name }) => name).filter((name) => !name.includes(" ")), ...others].sort();
  if (shell === "fish") return fish(typed, scripts);
  return shell === "zsh"
    ? `#compdef ingot\nautoload -U +X bashcompinit && bashcompinit\n${bash(typed, scripts)}`
    : bash(typed, scripts);
}

const flagsOf = ({ words }: Typed): string[] =>
  words.flatMap(({ flag, letter }) => (letter === undefined ? [flag] : [flag, `-${letter}`]));

/** Functions that say which words may follow, and one that asks them; zsh runs the same. */
function bash(typed: readonly Typed[], scripts: readonly string[]): string {
  const follow = typed.map((one) => `    "${one.name}") echo "${flagsOf(one).join(" ")}" ;;`);
  const below = typed.filter(({ commands }) => commands.length > 0);
  const commands = below.map((one) => `    "${one.name}") echo "${one.commands.join(" ")}" ;;`);
  const values = typed.flatMap(({ name, words }) =>
    words.flatMap(({ flag, values: list }) =>
      list && list.length > 0 ? [`    "${name} ${flag}") echo "${list.join(" ")}" ;;`] : [],
    ),
  );
  return `# Completions of ingot: source this file, or put it where the shell looks for completions.
_ingot_flags() {
  case "$1" in
${follow.join("\n")}
  esac
}
_ingot_commands() {
  case "$1" in
${commands.join("\n")}
  esac
}
_ingot_values() {
  case "$1" in
${values.join("\n")}
  esac
}
_ingot() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" key="\${COMP_WORDS[1]}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${scripts.join(" ")}"
  else
    case " $(_ingot_commands "$key") " in
      *" \${COMP_WORDS[2]} "*) [ "$COMP_CWORD" -gt 2 ] && key="$key \${COMP_WORDS[2]}" ;;
    esac
    words="$(_ingot_values "$key $before")"
    if [ -z "$words" ]; then
      case "$current" in
        -*) words="$(_ingot_flags "$key")" ;;
        *) [ "$COMP_CWORD" -eq 2 ] && words="$(_ingot_commands "$key")" ;;
      esac
    fi
  fi
  [ -n "$words" ] && COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _ingot ingot
`;
}

/** As fish quotes a text. */
const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

function fish(typed: readonly Typed[], scripts: readonly string[]): string {
  const names = scripts.map((name) => {
    const about = typed.find((one) => one.name === name)?.about ?? "";
    return `complete -c ingot -n __fish_use_subcommand -f -a ${name} -d ${quoted(about)}`;
  });
  const lines = typed.flatMap(({ name, words, commands }) => {
    const [script = "", sub] = name.split(" ");
    const own = sub === undefined ? "" : `; and __fish_seen_subcommand_from ${sub}`;
    const when = quoted(`__fish_seen_subcommand_from ${script}${own}`);
    const begun = commands.length > 0 ? [`complete -c ingot -n ${when} -a ${quoted(commands.join(" "))}`] : [];
    const flags = words.map(({ flag, letter, help, values }) => {
      const short = letter === undefined ? "" : ` -s ${letter}`;
      const takes = values === undefined ? "" : values.length > 0 ? ` -x -a ${quoted(values.join(" "))}` : " -r";
      return `complete -c ingot -n ${when} -l ${flag.slice(2)}${short}${takes} -d ${quoted(help)}`;
    });
    return [...begun, ...flags];
  });
  return `# Completions of ingot, for ~/.config/fish/completions/ingot.fish\n${[...names, ...lines].join("\n")}\n`;
}
