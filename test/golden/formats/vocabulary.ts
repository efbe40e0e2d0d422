/**
 * Merges that choose a vocabulary: a folder per case beside `inputs`, or `cases/NAME.yml` beside `expected/NAME`; a
 * case without a recipe is a transplant. Rows are compared by token, never by id; rows without a token, which pad the
 * table, as they stand.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { recipeReferences } from "../../../src/checkpoint/lineage/recipe/recipe.ts";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { type Vocabulary, vocabularyOf } from "../../../src/data/vocabulary.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { readIndex, required } from "./index-file.ts";
import { runRecipe } from "./merge.ts";
import { runSurgery, type Surgery } from "./surgeon.ts";
import { largest, readTensors, type StoredValues } from "./tensors.ts";

interface Case {
  /** A recipe's file, or a transplant. */
  readonly recipe: string | (() => Surgery);
  readonly tensors: string;
  readonly tolerance: number;
  readonly vocabulary: () => Promise<Vocabulary>;
  /** vocab_size of the result's config. */
  readonly size: () => Promise<number>;
}

/** The cases of a folder by name; none where it is in another format. */
export function vocabularyCases(folder: string): Map<string, Case> {
  const found = new Map<string, Case>();
  if (!existsSync(join(folder, "inputs"))) return found;
  for (const name of readdirSync(folder).sort()) {
    const [recipe, json] = ["config.yml", "case.json"].map((file) => join(folder, name, file)) as [string, string];
    if (!existsSync(json)) continue;
    const index = () => readIndex<{ vocab?: Record<string, number>; vocab_size?: number } & Partial<Surgery>>(json);
    const surgery = () => ({
      model: required(index().model, `${json}: model`),
      donor: required(index().donor, `${json}: donor`),
      arguments: required(index().arguments, `${json}: arguments`),
    });
    found.set(name, {
      recipe: existsSync(recipe) ? recipe : surgery,
      tensors: join(folder, name, "expected.safetensors"),
      tolerance: 1e-6,
      vocabulary: async () => new Map(Object.entries(required(index().vocab, `${json}: vocab`))),
      size: async () => required(index().vocab_size, `${json}: vocab_size`),
    });
  }
  const recipes = existsSync(join(folder, "cases")) ? readdirSync(join(folder, "cases")).sort() : [];
  for (const file of recipes) {
    const name = file.replace(/\.ya?ml$/, "");
    const expected = join(folder, "expected", name);
    if (!existsSync(join(expected, "tokenizer.json"))) continue;
    const read = async <T>(ask: (checkpoint: Checkpoint) => T): Promise<T> => {
      const checkpoint = await openPlain(expected);
      checkpoint.close();
      return ask(checkpoint);
    };
    found.set(name, {
      recipe: join(folder, "cases", file),
      tensors: join(expected, "model.safetensors"),
      tolerance: 2e-6,
      vocabulary: () => read((one) => required(vocabularyOf(one), `${expected}: a tokenizer.json`)),
      size: () => read(sizeIn),
    });
  }
  return found;
}

const sizeIn = ({ files }: { readonly files: ReadonlyMap<string, Uint8Array> }): number =>
  JSON.parse(new TextDecoder().decode(files.get("config.json"))).vocab_size;

async function runFile(folder: string, file: string, gpu: Gpu, chunkValues?: number) {
  const [recipe] = await parseRecipe(readFileSync(file, "utf8"), file);
  const models = new Map<string, Checkpoint>();
  for (const ref of recipeReferences(recipe!)) models.set(referenceKey(ref), await open(join(folder, ref.path)));
  const { output, files } = await runRecipe(recipe!, models, {
    gpu,
    ...(chunkValues !== undefined && { chunkValues }),
  });
  for (const model of models.values()) model.close();
  return { output, files };
}

/** Runs a case; gives what is wrong with it. */
export async function checkVocabulary(folder: string, golden: Case, gpu: Gpu, chunkValues?: number): Promise<string[]> {
  const { recipe } = golden;
  const { output, files } = await (typeof recipe === "string"
    ? runFile(folder, recipe, gpu, chunkValues)
    : runSurgery(folder, recipe(), gpu));
  const expected = await readTensors(golden.tensors);
  const theirs = await golden.vocabulary();
  const ours = vocabularyOf({ files })!;
  const problems: string[] = [];
  const differ = [...theirs.keys()].filter((token) => !ours.has(token));
  if (differ.length > 0 || ours.size !== theirs.size) problems.push(`other tokens: ${ours.size}, lacks ${differ}`);
  const size = await golden.size();
  if (sizeIn({ files }) !== size) problems.push(`vocab_size is ${sizeIn({ files })}, expected ${size}`);
  if ([...output.keys()].sort().join() !== [...expected.keys()].sort().join()) return [...problems, "other tensors"];
  for (const [name, wanted] of expected) {
    const found = output.get(name)!;
    if (found.shape.join() !== wanted.shape.join()) {
      problems.push(`${name} is (${found.shape}), expected (${wanted.shape})`);
      continue;
    }
    const error = worstRow(
      decodeFloats(found.bytes, found.dtype),
      wanted,
      isTable(name) ? { ours, theirs } : undefined,
    );
    if (!(error <= golden.tolerance)) problems.push(`${name} is off by ${error}`);
  }
  return problems;
}

const isTable = (name: string) => /embed_tokens|lm_head/.test(name);

/** The largest difference over rows of the same token, or of the same place, as a share of the largest value. */
function worstRow(
  found: Float32Array,
  { data, shape }: StoredValues,
  by?: { readonly ours: Vocabulary; readonly theirs: Vocabulary },
): number {
  const columns = shape[1] ?? 1;
  const rows = shape[0]!;
  const named = new Map([...(by?.theirs ?? [])].map(([token, row]) => [row, by!.ours.get(token)]));
  let worst = 0;
  for (let row = 0; row < rows; row++) {
    const own = named.get(row) ?? row;
    for (let i = 0; i < columns; i++) {
      const apart = Math.abs(found[own * columns + i]! - data[row * columns + i]!);
      worst = Math.max(apart, worst);
    }
  }
  return worst / largest(data);
}
