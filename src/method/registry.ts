/**
 * The methods of a folder. The folder is the registry: a file that exports `method` is a method, and its name is the
 * file's name. `--method task-arithmetic` and `--method task_arithmetic` both mean `task-arithmetic.ts`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "../errors.ts";
import type { MergeMethod } from "../merge/contract.ts";
import { nearest } from "./nearest.ts";
import type { Options } from "./options.ts";

/** What every method says of itself, whatever it does. */
export interface MethodInfo {
  readonly name: string;
  readonly title: string;
  /** One line for lists. */
  readonly about: string;
  readonly cite: string;
  readonly options: Options;
}

/** Which kind of method each folder of src/ holds. A folder that is not named here gives `MethodInfo`. */
export interface MethodKinds {
  merge: MergeMethod;
}

export type MethodIn<F> = F extends keyof MethodKinds ? MethodKinds[F] : MethodInfo;

/** A folder of src/ by name, or any folder by URL. */
export type MethodFolder = string | URL;

const pathOf = (folder: MethodFolder): string =>
  fileURLToPath(typeof folder === "string" ? new URL(`../${folder}/`, import.meta.url) : folder);

/** What a method's file exports: `method`, or the kind of method where a folder has several. */
const EXPORTS = ["method", "sampler", "ordering"] as const;
const EXPORTING = new RegExp(`^export const (${EXPORTS.join("|")})\\b`, "m");

/** Names of the methods of a folder, sorted, in kebab case. Reads the files' text; imports none. */
export function methodNames(folder: MethodFolder): string[] {
  const path = pathOf(folder);
  return readdirSync(path)
    .filter((file) => file.endsWith(".ts") && EXPORTING.test(readFileSync(join(path, file), "utf8")))
    .map((file) => file.slice(0, -3))
    .sort();
}

async function load(folder: MethodFolder, name: string): Promise<MethodInfo> {
  const exported = await import(pathToFileURL(join(pathOf(folder), `${name}.ts`)).href);
  return exported[EXPORTS.find((kind) => exported[kind] !== undefined)!];
}

/** One method by name, snake or kebab case; only its file is loaded. Throws UserError with the nearest name. */
export async function loadMethod(folder: MethodFolder, typed: string, origin = "--method"): Promise<MethodInfo> {
  const names = methodNames(folder);
  const name = typed.toLowerCase().replaceAll("_", "-");
  if (names.includes(name)) return load(folder, name);
  const near = nearest(typed, names);
  throw new UserError(
    `${origin}: unknown method ${typed}`,
    near ? `did you mean ${near}?` : `the methods are ${names.join(", ")}`,
  );
}

/** All methods of a folder, in order of name. */
export const loadMethods = (folder: MethodFolder): Promise<MethodInfo[]> =>
  Promise.all(methodNames(folder).map((name) => load(folder, name)));
