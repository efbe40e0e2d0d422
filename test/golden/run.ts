/**
 * Checks folders of golden values: prints each case that fails, and how many are within tolerance.
 *
 *   bun test/golden/run.ts test/golden/merge test/golden/train test/golden/adapters
 *
 * A folder is in one of six formats, told by its files and described in its README: `merge` (index.json and
 * cases/*.yml), `vocabulary` (inputs, and merges whose expected tensors come with their tokens), `loss` (cases.json and
 * inputs.safetensors), `train` and `quantized` (a folder per model with a case.json; that of a quantised one names the
 * tensors that were dequantised), `adapters` (sets of adapters with cases.json, and what combines them). Exit code 1
 * when a case fails, 2 for a folder in no known format or without a readable list of cases.
 */
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { adapterSets, checkAdapters } from "./formats/adapters.ts";
import { required } from "./formats/index-file.ts";
import { LossGoldens } from "./formats/loss.ts";
import { MergeGoldens } from "./formats/merge.ts";
import { checkQuantized, quantizedCases } from "./formats/quantized.ts";
import { checkTrain, trainCases } from "./formats/train.ts";
import { checkVocabulary, vocabularyCases } from "./formats/vocabulary.ts";

/** A folder's cases: the name of each, and what runs it and gives what is wrong. */
export interface Goldens {
  readonly format: "merge" | "vocabulary" | "train" | "loss" | "quantized" | "adapters";
  readonly cases: readonly (readonly [name: string, check: (gpu: Gpu) => Promise<string[]>])[];
  close(): void;
}

/**
 * Opens a folder in a known format; undefined for any other. Throws where the list of cases is missing or damaged.
 */
export async function openGoldens(folder: string): Promise<Goldens | undefined> {
  const has = (name: string) => existsSync(path.join(folder, name));
  if (has("index.json") && has("cases")) {
    const goldens = new MergeGoldens(folder);
    const cases = goldens.cases.map(({ id }, i) => {
      const check = async (gpu: Gpu) => goldens.check(required(id, `index.json: the id of case ${i + 1}`), gpu);
      return [id ?? `case ${i + 1}`, check] as const;
    });
    return { format: "merge", cases, close: () => goldens.close() };
  }
  const vocabularies = vocabularyCases(folder);
  if (vocabularies.size > 0) {
    const cases = [...vocabularies].map(([name, golden]) => {
      const check = (gpu: Gpu) => checkVocabulary(folder, golden, gpu);
      return [name, check] as const;
    });
    return { format: "vocabulary", cases, close: () => {} };
  }
  if (has("cases.json") && has("inputs.safetensors")) {
    const goldens = await LossGoldens.open(folder);
    const cases = goldens.cases.map(
      (one, i) => [one.name ?? `case ${i + 1}`, (gpu: Gpu) => goldens.check(one, gpu)] as const,
    );
    return { format: "loss", cases, close: () => {} };
  }
  const sets = adapterSets(folder);
  if (sets.length > 0) {
    const cases = sets.flatMap((set) =>
      set.cases.map((one) => {
        const name = `${path.basename(set.folder)} ${one.case} ${one.combination_type}`;
        return [name, (gpu: Gpu) => checkAdapters(set, one, gpu)] as const;
      }),
    );
    return { format: "adapters", cases, close: () => {} };
  }
  const found = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? trainCases(folder) : [];
  if (found.length === 0) return undefined;
  if (quantizedCases(folder).length > 0) {
    const check = (name: string) => (gpu: Gpu) => checkQuantized(path.join(folder, name), gpu);
    return { format: "quantized", cases: found.map((name) => [name, check(name)] as const), close: () => {} };
  }
  const cases = found.map((name) => [name, (gpu: Gpu) => checkTrain(path.join(folder, name), gpu)] as const);
  return { format: "train", cases, close: () => {} };
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Checks a folder and prints what fails. Gives the exit code. */
async function checkFolder(folder: string, gpu: Gpu): Promise<number> {
  const goldens = await openGoldens(folder).catch((error: unknown) => reason(error));
  if (goldens === undefined || typeof goldens === "string") {
    const known = existsSync(folder)
      ? "is in no known format: merge, vocabulary, train, loss, quantized or adapters"
      : "does not exist";
    process.stderr.write(goldens === undefined ? `${folder} ${known}\n` : `${folder} cannot be read: ${goldens}\n`);
    return 2;
  }
  let within = 0;
  for (const [name, check] of goldens.cases) {
    const problems = await check(gpu).catch((error: unknown) => [reason(error)]);
    if (problems.length === 0) within++;
    else process.stdout.write(`${name}: ${problems.slice(0, 3).join("; ")}\n`);
  }
  goldens.close();
  process.stdout.write(`${folder}: ${within} of ${goldens.cases.length} within tolerance\n`);
  return within === goldens.cases.length ? 0 : 1;
}

async function main(folders: readonly string[]): Promise<number> {
  if (folders.length === 0) {
    process.stderr.write("usage: bun test/golden/run.ts FOLDER...\n");
    return 2;
  }
  const gpu = await openGpu();
  let code = 0;
  for (const folder of folders) code = Math.max(code, await checkFolder(folder, gpu));
  gpu.close();
  return code;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
