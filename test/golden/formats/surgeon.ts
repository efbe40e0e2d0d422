/** Transplants of `mergekit-tokensurgeon`: a case.json with the model, the donor and the arguments. */
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import type { Approximation } from "../../../src/merge/approximation.ts";
import type { Where } from "../../../src/merge/transplant/match-tokens.ts";
import { planTransplant, type TransplantOptions, transplantTables } from "../../../src/merge/transplant/transplant.ts";
import { transplantFiles } from "../../../src/merge/transplant/transplant-files.ts";
import { type Bound, bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { nameModels } from "../../../src/model/names.ts";
import type { GoldenOutput } from "./merge.ts";

export interface Surgery {
  readonly model: string;
  readonly donor: string;
  readonly arguments: readonly string[];
}

/** Their flags by the names of ours. */
const FLAGS: Readonly<Record<string, string>> = {
  "-k": "terms",
  "--k": "terms",
  "-a": "approximate",
  "--approximation-method": "approximate",
  "-w": "weight_scheme",
  "--weight-scheme": "weight_scheme",
  "-s": "subword_method",
  "--subword-method": "subword_method",
  "-pm": "prefix_match",
  "--prefix-match": "prefix_match",
  "-bm": "byte_match",
  "--byte-match": "byte_match",
  "-nvs": "scale",
  "--new-vocab-scale": "scale",
};

/** Values by our names; a flag that has none here is a mistake in the case. */
function valuesOf(given: readonly string[]): Record<string, string | true> {
  const found: Record<string, string | true> = {};
  for (let i = 0; i < given.length; i++) {
    if (given[i] === "-c" || given[i] === "--cosine-similarity") found.cosine_similarity = true;
    else if (FLAGS[given[i]!] === undefined) throw new Error(`case.json: ${given[i]} has no counterpart`);
    else found[FLAGS[given[i]!]!] = given[++i]!;
  }
  return found;
}

async function optionsOf(given: readonly string[]): Promise<TransplantOptions> {
  const { approximate = "omp", terms, scale = "1", ...rest } = valuesOf(given);
  const method = await loadMethod("approximation", String(approximate));
  const { prefix_match = "no", byte_match = "no", ...more } = rest;
  const values = { ...more, ...(terms !== undefined && { terms: Number(terms) }) };
  const approximation: Bound<Approximation> = bindDefaults(method, values);
  return {
    approximate: approximation,
    prefixMatch: prefix_match as Where,
    byteMatch: byte_match as Where,
    noise: 0,
    scale: Number(scale),
    padTo: 1,
    seed: 0,
  };
}

/** Runs a case of a folder. */
export async function runSurgery(
  folder: string,
  surgery: Surgery,
  gpu: Gpu,
): Promise<{ output: GoldenOutput; files: ReadonlyMap<string, Uint8Array> }> {
  const options = await optionsOf(surgery.arguments);
  const [model, donor] = await Promise.all(
    [surgery.model, surgery.donor].map(async (path) => {
      const checkpoint = await open(join(folder, path));
      return nameModels(new Map([["it", checkpoint]]), "it", []).get("it")!;
    }),
  );
  const plan = planTransplant(model!, donor!, options);
  const run = { gpu: async () => gpu, advance: () => {}, signal: new AbortController().signal, warn: () => {} };
  const tables = await transplantTables(plan, options, run);
  const output: Map<string, { dtype: "F32"; shape: readonly number[]; bytes: Uint8Array }> = new Map();
  for (const [name, own] of model!.tensors) {
    const entry = tables.get(name) ?? own;
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    output.set(name, { dtype: entry.dtype as "F32", shape: entry.shape, bytes });
  }
  for (const { checkpoint } of [model!, donor!]) checkpoint.close();
  return { output, files: transplantFiles(plan, []) };
}
