/** The format of test/golden/adapters: sets of adapters, and what PEFT's weighted combinations make of them. */
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { type Combination, combineModule, planCombination, productOf } from "../../../src/adapt/combination.ts";
import { openAdapters, sharedModules } from "../../../src/checkpoint/adapter/together.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { readIndex, required } from "./index-file.ts";
import { readTensors, relativeError } from "./tensors.ts";

interface AdapterCase {
  readonly case: number;
  readonly combination_type: string;
  readonly weights: readonly number[];
  readonly rank?: number;
  readonly density?: number;
  readonly svd_rank?: number;
  readonly majority_sign_method?: "total" | "frequency";
}

/** A set: a folder with cases.json, expected.safetensors and adapters. */
export interface AdapterSet {
  readonly folder: string;
  readonly cases: readonly AdapterCase[];
}

const DELTA = 2e-5;
const FACTORS = 1e-6;

const isSet = (folder: string): boolean =>
  ["cases.json", "expected.safetensors", "adapter1"].every((name) => existsSync(path.join(folder, name)));

/** The sets in a folder, or the folder itself where it is one. */
export function adapterSets(folder: string): AdapterSet[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  const found = isSet(folder)
    ? [folder]
    : readdirSync(folder)
        .sort()
        .map((name) => path.join(folder, name))
        .filter(isSet);
  return found.map((set) => ({
    folder: set,
    cases: (readIndex(path.join(set, "cases.json")) as { cases: AdapterCase[] }).cases,
  }));
}

/** Runs a case and gives what is wrong. */
export async function checkAdapters({ folder }: AdapterSet, one: AdapterCase, gpu: Gpu): Promise<string[]> {
  const names = readdirSync(folder).filter((name) => /^adapter\d+$/.test(name));
  const cleanups: (() => void)[] = [];
  const adapters = await openAdapters(
    names.sort().map((name) => path.join(folder, name)),
    { warn: () => {}, onExit: (cleanup) => cleanups.push(cleanup) },
  );
  const given = Object.fromEntries(
    (["density", "svd_rank", "majority_sign_method"] as const).flatMap((key) =>
      one[key] === undefined ? [] : [[key, one[key]]],
    ),
  );
  const method = await loadMethod("adapt", required(one.combination_type, "cases.json: combination_type"));
  const known = Object.fromEntries(Object.entries(given).filter(([key]) => Object.hasOwn(method.options, key)));
  const { values } = bindDefaults(method, known);
  const scaled = adapters.some(({ modules }) => [...modules.values()].some(({ scale }) => scale !== 1));
  const job: Combination = { method, values, adapters, weights: one.weights, compat: scaled, seed: 0 };
  const expected = await readTensors(path.join(folder, "expected.safetensors"));
  const problems: string[] = [];
  let compared = 0;
  for (const module of planCombination(sharedModules(adapters), job)) {
    const found = await combineModule(module, job, async () => gpu);
    const check = (what: string, values: Float64Array, tolerance: number) => {
      const wanted = expected.get(`${one.case}.${module.module}.${what}`);
      if (wanted === undefined) return;
      compared++;
      const error = relativeError(values, wanted.data);
      if (!(error <= tolerance)) problems.push(`${module.module}.${what} is ${error.toExponential(1)} off`);
    };
    check("delta", productOf(found).values, DELTA);
    check("lora_A", found.a.values, FACTORS);
    check("lora_B", found.b.values, FACTORS);
    if (one.rank !== undefined && module.rank !== one.rank)
      problems.push(`${module.module} has rank ${module.rank}, expected ${one.rank}`);
  }
  for (const cleanup of cleanups) cleanup();
  const wanted = [...expected.keys()].filter((name) => name.startsWith(`${one.case}.`)).length;
  if (compared !== wanted || wanted === 0) problems.push(`${compared} of ${wanted} tensors were compared`);
  return problems;
}
