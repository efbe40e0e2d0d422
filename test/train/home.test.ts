/**
 * Hierarchies of experts: float64 forward and back, MMoE as a limit, masks between categories, and what probes find.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [D, W, K] = [5, 3, 2];
const SIZES = { model_type: "mlp-home", input_size: D, expert_size: W, num_labels: K, problem_type: "regression" };
const TASKS = [0, 2, 1, 2];
const BATCH = stackExamples(TASKS.map((group, i) => ({ x: normals(i, D), shape: [D], label: 0, group })));
const UP = normals(90, TASKS.length * K);
const WHOLE = { ...SIZES, num_tasks: 3, task_categories: [0, 1, 1], expert_norm: "rms", feature_gate_rank: 2 };
const PLAIN = { ...SIZES, num_tasks: 3, hierarchy: false, self_gates: false, hidden_act: "relu", expert_norm: "none" };

type Weights = ReadonlyMap<string, ArrayLike<number>>;

async function answers(model: Model, backward = false): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu));
  const { hidden, head } = model.record(rec, recordInputs(rec, BATCH));
  const y = head(hidden);
  rec.output("y", y);
  if (backward) rec.backward([[y, rec.constant(UP, y.shape, "up")]]);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, BATCH);
  program.run({ accumulate: 0 });
  const found = (await program.read("y")).slice();
  program.free();
  return found;
}

async function modelOf(json: Json, fill = (name: string, size: number) => normals(name.length + size, size, 0.6)) {
  const model = await Model.fresh(gpu, json, "home", { seed: 1 });
  const weights = new Map<string, Float32Array>();
  for (const parameter of model.parameters.values()) {
    const values = fill(parameter.name, parameter.size);
    parameter.write(values);
    weights.set(parameter.name, values);
  }
  return { model, weights };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
function softmax(x: readonly number[]): number[] {
  const all = x.map(Math.exp);
  const sum = all.reduce((a, b) => a + b);
  return all.map((v) => v / sum);
}

/** The equations in float64. */
class Reference {
  readonly #weights: Weights;

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  linear(module: string, x: readonly number[]): number[] {
    const [w, b] = [this.#weights.get(`${module}.weight`)!, this.#weights.get(`${module}.bias`)];
    const out = w.length / x.length;
    return Array.from({ length: out }, (_, r) => x.reduce((sum, v, c) => sum + v * w[r * x.length + c]!, b?.[r] ?? 0));
  }

  expert(module: string, x: readonly number[]): number[] {
    const logits = this.linear(`${module}.gate_up`, this.linear(`${module}.gate_down`, x));
    const h = this.linear(
      module,
      x.map((v, i) => 2 * v * sigmoid(logits[i]!)),
    );
    const rms = Math.sqrt(h.reduce((sum, v) => sum + v * v, 0) / h.length + 1e-5);
    const gain = this.#weights.get(`${module}.norm.weight`)!;
    return h.map((v, i) => (v * gain[i]!) / rms).map((v) => v * sigmoid(v));
  }

  mix(weights: readonly number[], experts: readonly (readonly number[])[]): number[] {
    return Array.from({ length: W }, (_, i) => experts.reduce((sum, e, k) => sum + weights[k]! * e[i]!, 0));
  }

  mixture(gate: string, x: readonly number[], groups: readonly string[], own: string): number[] {
    const pair = (group: string) => [0, 1].map((e) => this.expert(`${group}.${e}`, x));
    const main = this.mix(softmax(this.linear(gate, x)), groups.flatMap(pair));
    const self = this.mix(softmax(this.linear(`self_${gate}`, x)), pair(own));
    return main.map((v, i) => v + self[i]!);
  }

  answer(task: number, x: readonly number[]): number[] {
    const c = [0, 1, 1][task]!;
    const [shared, mine] = ["meta.shared", `meta.categories.${c}`];
    const z = this.mixture(`gates.${mine}`, x, [shared, mine], mine);
    const all = [shared, "meta.categories.0", "meta.categories.1"];
    const v = [...z, ...this.mixture("gates.meta.shared", x, all, shared)];
    const own = `task.own.${task}`;
    return this.linear(`heads.${task}`, this.mixture(`gates.task.${task}`, v, [`task.categories.${c}`, own], own));
  }

  all(): number[] {
    return TASKS.flatMap((task, row) => this.answer(task, Array.from(normals(row, D))));
  }
}

test("both levels agree with float64, forward and back", async () => {
  const { model, weights } = await modelOf(WHOLE);
  const y = await answers(model, true);
  for (const [i, value] of new Reference(weights).all().entries()) expect(Math.abs(y[i]! - value)).toBeLessThan(2e-5);
  const total = (changed: Weights) => new Reference(changed).all().reduce((sum, v, i) => sum + v * UP[i]!, 0);
  for (const { name, gradient, size } of model.parameters.values()) {
    const found = await gpu.readFloats(gradient, size);
    for (const at of [0, size - 1]) {
      const moved = (by: number) => {
        const values = Float64Array.from(weights.get(name)!);
        values[at]! += by;
        return total(new Map<string, ArrayLike<number>>([...weights, [name, values]]));
      };
      const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      if (!(Math.abs(found[at]! - slope) < 2e-4)) throw new Error(`${name}[${at}]: ${found[at]}, and ${slope}`);
    }
  }
  model.free();
});

test("with feature gates at 0 and no self gate it is MMoE, to the bit", async () => {
  const fill = (name: string, size: number) =>
    name.endsWith("gate_up.weight") ? new Float32Array(size) : normals(name.length + size, size, 0.6);
  const gated = await modelOf({ ...PLAIN, feature_gate_rank: 2 }, fill);
  const plain = await modelOf({ ...PLAIN, feature_gate_rank: 0 }, fill);
  const y = await answers(plain.model);
  expect(await answers(gated.model)).toEqual(y);
  const reference = new Reference(plain.weights);
  for (const [row, task] of TASKS.entries()) {
    const x = Array.from(normals(row, D));
    const experts = [0, 1].map((e) => reference.linear(`meta.shared.${e}`, x).map((v) => Math.max(0, v)));
    const mixed = reference.mix(softmax(reference.linear(`gates.task.${task}`, x)), experts);
    for (const [i, value] of reference.linear(`heads.${task}`, mixed).entries())
      expect(y[row * K + i]!).toBeCloseTo(value, 5);
  }
  for (const { model } of [gated, plain]) model.free();
});

test("a task's answers do not depend on experts of other tasks, nor of other categories but through what all share", async () => {
  const { model } = await modelOf({ ...WHOLE, num_tasks: 3 });
  const before = await answers(model);
  const moved = async (pattern: RegExp) => {
    const own = [...model.parameters.values()].filter(({ name }) => pattern.test(name));
    expect(own.length).toBeGreaterThan(0);
    const kept = await Promise.all(own.map(({ buffer, size }) => gpu.readFloats(buffer, size)));
    for (const parameter of own) parameter.write(normals(7, parameter.size));
    const after = await answers(model);
    for (const [i, parameter] of own.entries()) parameter.write(kept[i]!);
    return TASKS.map((_, row) => [0, 1].some((i) => after[row * K + i] !== before[row * K + i]));
  };
  expect(await moved(/^task\.own\.2\./)).toEqual([false, true, false, true]);
  expect(await moved(/^task\.categories\.0\./)).toEqual([true, false, false, false]);
  expect(await moved(/^gates\.meta\.categories\.1\./)).toEqual([false, true, true, true]);
  expect(await moved(/^meta\.shared\./)).toEqual([true, true, true, true]);
  model.free();
});

const folder = mkdtempSync(join(tmpdir(), "ingot-home-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("train learns it, evaluate measures it, and probes tell of experts and gates", async () => {
  for (const [t, name] of ["a", "b"].entries()) {
    const rows = Array.from({ length: 24 - 12 * t }, (_, i) => {
      const x = [...normals(100 * t + i, 3)];
      return { x, label: x[t]! > 0 ? 1 : 0 };
    });
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const config = { ...SIZES, problem_type: null, num_tasks: 2, input_size: 3, feature_gate_rank: 2 };
  writeFileSync(join(folder, "home.json"), JSON.stringify(config));
  const run = async (script: string, line: string) => {
    const { code, err, text } = await runScript(script, `${line} -q`.split(" "), folder);
    expect(code, err).toBe(0);
    return text;
  };
  const data = "--data a.jsonl --data b.jsonl";
  await run("train", `--init home.json ${data} --steps 30 --lr 1e-2 --batch-size 12 --save-every 0 -o out/`);
  const probe = async (name: string) =>
    JSON.parse(await run("evaluate", `out/ ${data} --probe ${name} --json`)).rows[0];
  const collapse = await probe("expert-collapse");
  // Experts of both levels: two that all share, two of the category at each level, two of each task.
  expect(collapse.experts).toHaveLength(10);
  for (const { silent, std } of collapse.experts) {
    expect(silent).toBeLessThan(0.05);
    expect(std).toBeGreaterThan(0);
  }
  expect(collapse.ratio).toBeLessThan(3);
  const degradation = await probe("expert-degradation");
  expect(degradation.experts.map(({ expert }: { expert: string }) => expert)).toEqual([
    "task.categories.0.0",
    "task.categories.0.1",
  ]);
  for (const { shares } of degradation.experts) expect(shares.every((s: number) => s > 0 && s < 1)).toBe(true);
  const underfitting = await probe("expert-underfitting");
  expect(underfitting.tasks.map(({ rows }: { rows: number }) => rows)).toEqual([24, 12]);
  for (const { own, shared } of underfitting.tasks) expect(own + shared).toBeCloseTo(1, 5);
});
