/**
 * The one registry of methods: every kind of method is a folder (or several) in which each file is a method and nothing
 * else.
 *
 * A file's name is what the user types: `--method task-arithmetic` is `task-arithmetic.ts`, and `task_arithmetic` works
 * too. Each file exports `method`. Folders below a kind's own are families, for readers only. Help, `--list`, docs,
 * did-you-mean and the law tests read the methods here, so a new file is known everywhere at once.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "../errors.ts";
import { FOLDERS, type Kind } from "./kinds.ts";
import { nearest } from "./nearest.ts";
import type { Options } from "./options.ts";
import { methodMeantBy } from "./synonyms.ts";

/** What every method says of itself, whatever its kind. */
export interface MethodInfo<O extends Options = Options> {
  readonly name: string;
  readonly title: string;
  /** One line for lists. */
  readonly about: string;
  /** "arXiv:2306.01708", "doi:...", or the tool or page that defines the method. */
  readonly cite: string;
  readonly options: O;
  /** What `--help` says of it beside its line: labels and texts. */
  readonly explained?: readonly (readonly [label: string, text: string])[];
}

/** The contract of each kind. The file of a contract adds its own here, so that the registry knows no technique. */
// biome-ignore lint/suspicious/noEmptyInterface: contracts add to it by declaration merging
export interface Contracts {}

export type MethodOf<K> = K extends keyof Contracts ? Contracts[K] : MethodInfo;

/** A kind, or the URL of a folder of methods that belongs to no kind. */
export type MethodSource = Kind | URL;

/** What messages call a method of a kind, where that is not its kind's own name. */
const NOUNS: Partial<Record<Kind, string>> = {
  merge: "method",
  distill: "method",
  unlearn: "method",
  align: "method",
  control: "method",
  "pair-loss": "pair loss",
  "gradient-rule": "gradient rule",
  "prompt-sampler": "prompt sampler",
  "training-probe": "training probe",
  curriculum: "method",
  post: "post step",
  adapt: "method",
  continual: "method",
  "test-time": "method",
  synthesis: "method",
  "adapter-init": "adapter init",
  "number-format": "number format",
};

/** What messages call one method of a kind: "method", "optimizer". */
export const nounOf = (source: MethodSource): string =>
  typeof source === "string" ? (NOUNS[source as Kind] ?? source) : "method";

/** Several of them. */
export const nounsOf = (source: MethodSource): string =>
  /(?:ch|ss)$/.test(nounOf(source)) ? `${nounOf(source)}es` : `${nounOf(source)}s`;

/** What lists call the methods of a kind: "Methods", "Optimizers". */
export function titleOf(source: MethodSource): string {
  if (source === "curriculum") return "Samplers and orderings";
  if (source === "continual") return "Methods for tasks one after another";
  if (source === "test-time") return "Methods at test time";
  if (source === "synthesis") return "Methods that make rows";
  if (source === "control") return "Methods for small worlds";
  if (source === "adapt") return "Combinations of adapters";
  const nouns = nounsOf(source);
  return `${nouns[0]!.toUpperCase()}${nouns.slice(1)}`;
}

/** The name of a method's file, from what was typed: in kebab case, and `++` is spelled out. */
const fileNameOf = (typed: string): string => typed.trim().toLowerCase().replaceAll("_", "-").replace("++", "-plus");

export const kinds = (): Kind[] => Object.keys(FOLDERS) as Kind[];

/** The folders of a kind, absolute. */
export const foldersOf = (source: MethodSource): string[] =>
  typeof source === "string"
    ? FOLDERS[source].map((folder) => fileURLToPath(new URL(`../${folder}/`, import.meta.url)))
    : [fileURLToPath(source)];

/** The room of a kind: the folder of src/ that its files are in, named as a script. */
export const roomOf = (kind: Kind): string => FOLDERS[kind][0].split("/")[0]!;

/** Files of a kind by the method's name in kebab case, in order of name. Imports none. */
export function methodFiles(source: MethodSource): Map<string, string> {
  const files = foldersOf(source)
    .filter(existsSync)
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" }).map((file) => [
        basename(file, ".ts"),
        join(folder, file),
      ]),
    )
    .filter(([, path]) => path!.endsWith(".ts")) as [string, string][];
  return new Map(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names of the methods of a kind, sorted, in kebab case. */
export const methodNames = (source: MethodSource): string[] => [...methodFiles(source).keys()];

const importMethod = async (path: string): Promise<MethodInfo> => (await import(pathToFileURL(path).href)).method;

/**
 * The error for a name that no method of a kind has, with the nearest one. `origin` is what asked for it: `--method`.
 */
function unknownMethod(source: MethodSource, typed: string, origin?: string): UserError {
  const names = methodNames(source);
  const near = (typeof source === "string" ? methodMeantBy(source, typed, names) : undefined) ?? nearest(typed, names);
  const noun = nounOf(source);
  return new UserError(
    `${origin === undefined ? "" : `${origin}: `}unknown ${noun} ${typed}`,
    near ? `did you mean ${near}?` : `the ${nounsOf(source)} are ${names.join(", ")}`,
  );
}

/** Throws UserError, with the nearest name, unless a method of a kind has this name; loads none. */
export function checkMethodName(source: MethodSource, typed: string, origin?: string): void {
  if (!methodFiles(source).has(fileNameOf(typed))) throw unknownMethod(source, typed, origin);
}

/**
 * One method by name, in snake or kebab case; only its file is loaded. `origin` is what asked for it, for the message.
 * Throws UserError with the nearest name.
 *
 *   const { merge } = await loadMethod("merge", "task_arithmetic");
 */
export async function loadMethod<S extends MethodSource>(
  source: S,
  typed: string,
  origin = "--method",
): Promise<MethodOf<S>> {
  const path = methodFiles(source).get(fileNameOf(typed));
  if (path === undefined) throw unknownMethod(source, typed, origin);
  return (await importMethod(path)) as MethodOf<S>;
}

/** All methods of a kind, in order of name. */
export const loadMethods = <S extends MethodSource>(source: S): Promise<MethodOf<S>[]> =>
  Promise.all([...methodFiles(source).values()].map(importMethod)) as Promise<MethodOf<S>[]>;
