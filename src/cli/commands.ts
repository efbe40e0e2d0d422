/** Sub-commands: `bun run curriculum select model/` runs the definition that `curriculum` declares under `select`. */
import type { Options } from "../method/options.ts";
import { checkMethodName, type MethodSource } from "../method/registry.ts";
import type { AnyCommand, AnyDefinition, CommandDefinition } from "./context.ts";
import { firstArgument } from "./parse.ts";
import { commonOptions } from "./shared-options.ts";

/**
 * Declares a sub-command.
 *
 *   commands: {
 *     plan: command({
 *       about: "Say how large a model and how many tokens fit a budget.",
 *       examples: ["bun run curriculum plan --flops 1e18"],
 *       options: PLAN,
 *       run: async (context) => (await import("../src/curriculum/commands/plan.ts")).plan(context),
 *     }),
 *   }
 */
export const command = <const O extends Options, const F extends MethodSource = MethodSource>(
  definition: CommandDefinition<O, F>,
): AnyCommand => definition;

/**
 * The arguments with a method in the first place turned into `--method`. Throws UserError for a name that no method
 * has.
 */
function withMethodFirst({ methods, methodFirst }: AnyDefinition, argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (!methodFirst || methods === undefined || first === undefined || first.startsWith("-")) return argv;
  checkMethodName(methods, first);
  return ["--method", first, ...rest];
}

/** The arguments with `--stages FILE` turned into `stages FILE`, of a sub-command that has a flag of its own name. */
function withFlagFirst(commands: Readonly<Record<string, AnyCommand>>, argv: readonly string[]): readonly string[] {
  for (const [name, { alsoFlag }] of Object.entries(commands)) {
    const at = alsoFlag ? argv.findIndex((text) => text === `--${name}` || text.startsWith(`--${name}=`)) : -1;
    const flag = argv[at];
    if (flag === undefined) continue;
    const value = flag.includes("=") ? [flag.slice(flag.indexOf("=") + 1)] : [];
    return [name, ...value, ...argv.slice(at + 1), ...argv.slice(0, at)];
  }
  return argv;
}

/** The sub-command that an option with its value calls, and the arguments without these. */
function calledBy({ calls = {} }: AnyDefinition, argv: readonly string[]) {
  for (const [typed, name] of Object.entries(calls)) {
    const [flag = "", value = ""] = typed.split(" ");
    const apart = argv.findIndex((each, i) => each === flag && argv[i + 1]?.replaceAll("_", "-") === value);
    if (apart >= 0) return { name, others: argv.toSpliced(apart, 2) };
    const joined = argv.findIndex((each) => each.replaceAll("_", "-") === `${flag}=${value}`);
    if (joined >= 0) return { name, others: argv.toSpliced(joined, 1) };
  }
  return undefined;
}

/**
 * The sub-command that the arguments call, as a definition, and the arguments without its name; the script itself where
 * they call none. Throws UserError where the first argument has to name a method and does not.
 */
export function calledDefinition(
  script: AnyDefinition,
  typed: readonly string[],
): { readonly definition: AnyDefinition; readonly argv: readonly string[] } {
  const commands = script.commands ?? {};
  const argv = withFlagFirst(commands, typed);
  const meant = calledBy(script, argv);
  if (meant) return calledDefinition({ ...script, calls: {} }, [meant.name, ...meant.others]);
  const tables = [script, ...Object.values(commands)].map((each) => ({ ...commonOptions(each), ...each.options }));
  const at = firstArgument(argv, Object.assign({}, ...tables));
  const name = argv[at];
  if (name === undefined || !Object.hasOwn(commands, name))
    return { definition: script, argv: withMethodFirst(script, argv) };
  const definition: AnyDefinition = { ...commands[name]!, name: `${script.name} ${name}`, script };
  return { definition, argv: withMethodFirst(definition, argv.toSpliced(at, 1)) };
}

/** Who speaks in messages: the script, also for its sub-commands. */
export const speaker = ({ script: parent, name }: AnyDefinition): string => parent?.name ?? name;
