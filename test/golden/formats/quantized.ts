/**
 * The format of test/golden/quantized: a folder per checkpoint as a tool wrote it, with its weights dequantised by
 * reference code, and the logits that the model then gives. Weights are compared bit for bit; logits where the engine
 * has the architecture.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { Model } from "../../../src/model/model.ts";
import { configValue, readConfig } from "../../../src/model/names.ts";
import { modelTypes } from "../../../src/model/registry.ts";
import { readIndex, required } from "./index-file.ts";
import { readTensors, relativeError, type StoredValues } from "./tensors.ts";
import { logitsOf, trainCases } from "./train.ts";

interface Case {
  readonly input_ids?: readonly (readonly number[])[];
  readonly dequantised?: readonly string[];
  readonly tolerance?: { readonly logits_rel_to_max?: number };
}

const caseOf = (folder: string): Case => readIndex<Case>(path.join(folder, "case.json"));

/** Folders of a golden folder that hold a quantised checkpoint; none where one of its cases is something else. */
export function quantizedCases(folder: string): string[] {
  const names = trainCases(folder);
  return names.every((name) => Array.isArray(caseOf(path.join(folder, name)).dequantised)) ? names : [];
}

/** Gives what is wrong with a case, nothing when it is accepted. */
export async function checkQuantized(folder: string, gpu: Gpu): Promise<string[]> {
  const golden = caseOf(folder);
  const expected = await readTensors(path.join(folder, "expected.safetensors"));
  const gguf = path.join(folder, "model.gguf");
  const checkpoint = await open(existsSync(gguf) ? gguf : folder);
  try {
    const problems = [
      ...namesOff(required(golden.dequantised, "case.json: dequantised"), expected),
      ...(await weightsOff(checkpoint, expected)),
    ];
    const type = configValue(readConfig(checkpoint), "model_type");
    if (problems.length === 0 && modelTypes().includes(String(type))) {
      problems.push(...(await logitsOff(checkpoint, golden, required(expected.get("logits"), "logits"), gpu)));
    }
    return problems;
  } finally {
    checkpoint.close();
  }
}

const PREFIX = "weight.";

function namesOff(stated: readonly string[], expected: ReadonlyMap<string, StoredValues>): string[] {
  const held = [...expected.keys()].filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length));
  const lost = stated.filter((name) => !held.includes(name));
  return lost.map((name) => `expected.safetensors lacks ${name}`);
}

/** Tensors whose values are not those of the twin, to the bit. */
async function weightsOff(checkpoint: Checkpoint, expected: ReadonlyMap<string, StoredValues>): Promise<string[]> {
  const problems: string[] = [];
  for (const [name, { shape, data }] of expected) {
    if (!name.startsWith(PREFIX)) continue;
    const entry = checkpoint.tensors.get(name.slice(PREFIX.length));
    if (entry === undefined) problems.push(`${name.slice(PREFIX.length)} is missing`);
    else if (String(entry.shape) !== String(shape)) problems.push(`${entry.name} is (${entry.shape}), not (${shape})`);
    else {
      const values = await mergeOnCpu(entry);
      const off = values.findIndex((value, i) => !Object.is(value, data[i]));
      if (off >= 0) problems.push(`${entry.name}[${off}] is ${values[off]}, expected ${data[off]}`);
    }
  }
  return problems;
}

async function logitsOff(checkpoint: Checkpoint, golden: Case, wanted: StoredValues, gpu: Gpu): Promise<string[]> {
  const model = await Model.load(gpu, checkpoint, { dtype: "f32" });
  const rows = required(golden.input_ids, "case.json: input_ids").map((ids, i) => [
    { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: `row ${i + 1}` },
  ]);
  const error = relativeError(await logitsOf(gpu, model, collate(rows, { buckets: "none" })), wanted.data);
  model.free();
  const most = required(golden.tolerance?.logits_rel_to_max, "case.json: tolerance.logits_rel_to_max");
  return error <= most ? [] : [`logits are off by ${error.toExponential(1)} of their largest, allowed ${most}`];
}
