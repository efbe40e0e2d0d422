/**
 * Which adapter a task goes to, by how its texts read: each adapter of a codebook has the texts of the tasks that it
 * was trained on. Qiao et al., ICML 2025, https://arxiv.org/abs/2410.10868
 */
import { readFileSync } from "node:fs";
import { UserError } from "../../errors.ts";
import { isObject, type Json, parseJson } from "../../json.ts";
import { similarity } from "./tf-idf.ts";

/** Texts by adapter, in the order in which the adapters came. */
export type Codebook = ReadonlyMap<string, readonly string[]>;

export interface Assigned {
  readonly adapter: string;
  readonly isNew: boolean;
  /** Of every adapter, from 0 to 1. */
  readonly similarities: Readonly<Record<string, number>>;
  /** With the texts of the task. */
  readonly codebook: Codebook;
}

export interface AssignOptions {
  /** From this similarity on an adapter takes the task; else a new one does. */
  readonly threshold: number;
  /** What a new adapter is called. */
  readonly name: string;
}

/** The name of the next adapter of a codebook: adapter-1, adapter-2 and so on, the first that is free. */
export function nextName(codebook: Codebook): string {
  let number = codebook.size + 1;
  while (codebook.has(`adapter-${number}`)) number++;
  return `adapter-${number}`;
}

/** Gives a task, by its texts, to the adapter that is most alike, the first of equals, or to a new one. */
export function assignTask(codebook: Codebook, texts: readonly string[], options: AssignOptions): Assigned {
  const found = [...codebook].map(([adapter, own]) => ({ adapter, likeness: similarity(texts, own) }));
  const similarities = Object.fromEntries(found.map(({ adapter, likeness }) => [adapter, likeness]));
  const [best] = found.toSorted((a, b) => b.likeness - a.likeness);
  const isNew = best === undefined || best.likeness < options.threshold;
  const adapter = isNew ? options.name : best.adapter;
  const grown = new Map(codebook).set(adapter, [...new Set([...(codebook.get(adapter) ?? []), ...texts])]);
  return { adapter, isNew, similarities, codebook: grown };
}

const isEntry = (value: Json): value is { name: string; texts: string[] } =>
  isObject(value) &&
  typeof value.name === "string" &&
  Array.isArray(value.texts) &&
  value.texts.length > 0 &&
  value.texts.every((text) => typeof text === "string");

/** Reads a codebook. Throws UserError for a file that is none. */
export function readCodebook(file: string): Codebook {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--codebook ${file} cannot be read: ${(error as Error).message}`, "leave it out to begin one");
  }
  const { value } = parseJson(text, `--codebook ${file}`);
  const adapters = isObject(value) ? value.adapters : undefined;
  if (!Array.isArray(adapters) || !adapters.every(isEntry))
    throw new UserError(
      `--codebook ${file} has no adapters with a name and texts each`,
      "give what adapt assign wrote, or leave it out to begin one",
    );
  return new Map(adapters.map(({ name, texts }) => [name, texts]));
}
