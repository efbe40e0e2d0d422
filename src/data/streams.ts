/**
 * A stream of tasks from one procedural task: an option, or several in step, takes one value after the other. The seed
 * may vary like an option: it makes the world.
 */
import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import { flagOf, nameIn, type Options } from "../method/options.ts";
import { optionValue } from "../method/validate.ts";

/** One task of a stream: the options that make it what it is. */
export interface Variant {
  readonly seed: number;
  readonly settings: Readonly<Record<string, unknown>>;
  /** What varies, as it was typed. */
  readonly typed: Readonly<Record<string, string>>;
}

/** A stream has two files for each task, open at the same time. */
const MOST = 256;

const SEED = { type: "0 <= number.integer <= 9007199254740991", help: "seed of the rows" } as const;

/** `digits=01,23` is an option and its values. */
async function readVary(text: string, options: Options) {
  const at = text.indexOf("=");
  const written = text.slice(0, Math.max(0, at)).trim();
  if (at < 1) throw new UserError(`--stream ${text}: expected an option and its values`, "such as --stream seed=1,2,3");
  const key = written.replace(/^--/, "").replaceAll("-", "_");
  const name = key === "seed" ? key : nameIn(options, key);
  if (name === undefined) {
    const known = [...Object.keys(options), "seed"];
    const near = nearest(key, known);
    throw new UserError(
      `--stream ${text}: the task has no option ${written}`,
      near === undefined ? `its options are ${known.join(", ")}` : `did you mean ${near}?`,
    );
  }
  const texts = text
    .slice(at + 1)
    .split(",")
    .map((value) => value.trim());
  const spec = name === "seed" ? SEED : options[name]!;
  const values: unknown[] = [];
  for (const value of texts)
    values.push(await optionValue(name, spec, { texts: [value], origin: `--stream ${written}` }));
  return { name, texts, values };
}

/**
 * The tasks that `--stream` names, in order. Throws UserError for options that the task has not, values that they do
 * not take, and options with different numbers of values.
 */
export async function variants(
  varied: readonly string[],
  options: Options,
  { seed, settings }: { readonly seed: number; readonly settings: Readonly<Record<string, unknown>> },
): Promise<Variant[]> {
  const read: Awaited<ReturnType<typeof readVary>>[] = [];
  for (const text of varied) read.push(await readVary(text, options));
  const [first] = read;
  for (const { name, texts } of read) {
    if (read.filter((other) => other.name === name).length > 1)
      throw new UserError(`--stream names ${name} twice`, "give all its values at once");
    if (texts.length !== first!.texts.length)
      throw new UserError(
        `--stream gives ${flagOf(first!.name)} ${first!.texts.length} values and ${flagOf(name)} ${texts.length}`,
        "the values of all go in step: one of each for a task",
      );
    if (texts.length > MOST)
      throw new UserError(`--stream makes ${texts.length} tasks; a stream has at most ${MOST}`, "write two streams");
  }
  return (first?.texts ?? []).map((_, task) => {
    const own = Object.fromEntries(read.map(({ name, values }) => [name, values[task]]));
    const { seed: other = seed, ...changed } = own;
    return {
      seed: Number(other),
      settings: { ...settings, ...changed },
      typed: Object.fromEntries(read.map(({ name, texts }) => [name, texts[task]!])),
    };
  });
}
