/** What a script answers without any work: help, version, lists. */
import { isatty } from "node:tty";
import pkg from "../../package.json";
import type { Kind } from "../method/kinds.ts";
import { loadMethods, type MethodSource, roomOf } from "../method/registry.ts";
import { chosenMethod, chosenPicks } from "./choices.ts";
import type { AnyDefinition } from "./context.ts";
import { helpText, listJson, listText, shortHelp } from "./help.ts";
import { peekSwitch } from "./parse.ts";
import { screenWidth } from "./screen.ts";
import { say, writeText } from "./stderr.ts";

/** Answers what needs no work (`--help`, `--version`, `--list`, nothing at all); undefined if there is work to do. */
export async function answer(definition: AnyDefinition, argv: readonly string[]): Promise<number | undefined> {
  const { name, methods, args } = definition;
  if (peekSwitch(argv, "--help", "-h")) {
    const method = await chosenMethod({ methods }, argv);
    const picks = await chosenPicks(definition.options, argv);
    const others = methods === undefined || method?.said ? [] : await loadMethods(methods);
    const width = Math.min(screenWidth() ?? 80, 120);
    const whole = argv.some((argument, i) => argument === "all" && /^(--help|-h)$/.test(argv[i - 1] ?? ""));
    writeText(helpText(definition, others, method?.said ? [method, ...picks] : picks, { width, whole }));
    return 0;
  }
  if (peekSwitch(argv, "--version")) {
    writeText(`${name} ${pkg.version}\n`);
    return 0;
  }
  if (peekSwitch(argv, "--list")) {
    const groups = await Promise.all(
      listedSources(definition).map(async (source) => ({ source, methods: await loadMethods(source) })),
    );
    if (groups.length > 0) {
      writeText(peekSwitch(argv, "--json") ? listJson(groups) : listText(groups, screenWidth()));
      return 0;
    }
  }
  if (argv.length === 0 && args && isatty(0)) {
    say(shortHelp(definition));
    return 2;
  }
}

/**
 * The kinds that `--list` shows: those that `--method` and other options choose from, the sub-commands' too, as far as
 * their files are in the script's own room (optimizers are listed by `train`); all of them where none is. What adapters
 * are and how they begin is in no script's room: `train` and `adapt` list it; number formats neither: `train` does.
 */
function listedSources({ name, script: parent, methods, options, commands }: AnyDefinition): MethodSource[] {
  const room = parent?.name ?? name;
  const tables = [options, ...Object.values(commands ?? {}).map((each) => each.options)];
  const below = Object.values(commands ?? {}).flatMap((each) =>
    typeof each.methods === "string" ? [each.methods] : [],
  );
  const kinds = [
    ...below,
    ...tables.flatMap((table) => Object.values(table)).flatMap(({ kind, lists }) => kind ?? lists ?? []),
  ];
  const isOwn = (kind: Kind) =>
    roomOf(kind) === room ||
    (roomOf(kind) === "model" && ["train", "adapt"].includes(room)) ||
    (roomOf(kind) === "checkpoint" && room === "train");
  const own = kinds.filter(isOwn);
  const listed = methods === undefined ? [] : [methods];
  return [...new Set<MethodSource>([...listed, ...(listed.length + own.length > 0 ? own : kinds)])];
}
