/**
 * Checks folders of golden values: prints each case that fails, and how many are within tolerance.
 *
 *   bun test/golden/run.ts test/golden/merge test/golden/train test/golden/loss
 *
 * A folder is in one of three formats, told by its files and described in its README: `merge` (index.json and
 * cases/*.yml), `loss` (cases.json and inputs.safetensors), `train` (a folder per model with a case.json). Exit code 1
 * when a case fails, 2 for a folder in no known format.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { LossGoldens } from "./formats/loss.ts";
import { MergeGoldens } from "./formats/merge.ts";
import { checkTrain, trainCases } from "./formats/train.ts";

/** A folder's cases by name, each with what runs it and gives what is wrong. */
export interface Goldens {
  readonly format: "merge" | "train" | "loss";
  readonly cases: ReadonlyMap<string, (gpu: Gpu) => Promise<string[]>>;
  close(): void;
}

/** Opens a folder in a known format, or gives undefined. */
export async function openGoldens(folder: string): Promise<Goldens | undefined> {
  const has = (name: string) => existsSync(path.join(folder, name));
  if (has("index.json") && has("cases")) {
    const goldens = new MergeGoldens(folder);
    const cases = new Map(goldens.cases.map(({ id }) => [id, (gpu: Gpu) => goldens.check(id, gpu)] as const));
    return { format: "merge", cases, close: () => goldens.close() };
  }
  if (has("cases.json") && has("inputs.safetensors")) {
    const goldens = await LossGoldens.open(folder);
    const cases = new Map(goldens.cases.map((one) => [one.name, (gpu: Gpu) => goldens.check(one, gpu)] as const));
    return { format: "loss", cases, close: () => {} };
  }
  const found = existsSync(folder) ? trainCases(folder) : [];
  if (found.length === 0) return undefined;
  const cases = new Map(found.map((name) => [name, (gpu: Gpu) => checkTrain(path.join(folder, name), gpu)] as const));
  return { format: "train", cases, close: () => {} };
}

async function main(folders: readonly string[]): Promise<number> {
  if (folders.length === 0) {
    process.stderr.write("usage: bun test/golden/run.ts FOLDER...\n");
    return 2;
  }
  const gpu = await openGpu();
  let code = 0;
  for (const folder of folders) {
    const goldens = await openGoldens(folder);
    if (!goldens) {
      process.stderr.write(`${folder} is in no known format: merge, train or loss\n`);
      code = 2;
      continue;
    }
    let within = 0;
    for (const [name, check] of goldens.cases) {
      const problems = await check(gpu).catch((error: unknown) => [
        error instanceof Error ? error.message : String(error),
      ]);
      if (problems.length === 0) within++;
      else process.stdout.write(`${name}: ${problems.slice(0, 3).join("; ")}\n`);
    }
    goldens.close();
    process.stdout.write(`${folder}: ${within} of ${goldens.cases.size} within tolerance\n`);
    if (within < goldens.cases.size) code = Math.max(code, 1);
  }
  gpu.close();
  return code;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
