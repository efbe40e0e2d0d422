/**
 * Perceptrons of several tasks: float64 forward and back, the plain perceptron as a limit, and a task that is added.
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
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [D, F, H, K] = [5, 4, 7, 3];
const SIZES = { input_size: D, hidden_sizes: [H], num_labels: K, problem_type: "regression" };
const TASKS = [0, 2, 1, 2, 2];
const BATCH = stackExamples(TASKS.map((group, i) => ({ x: normals(i, D), shape: [D], label: 0, group })));
const UP = normals(90, TASKS.length * K);

type Weights = ReadonlyMap<string, ArrayLike<number>>;

/** What a model says of rows, and by `UP` the gradients of its weights. */
async function answers(model: Model, batch = BATCH, backward = false): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu));
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  const y = head(hidden);
  rec.output("y", y);
  if (backward) rec.backward([[y, rec.constant(UP, y.shape, "up")]]);
  const program = await Program.compile(gpu, rec);
  try {
    fillInputs(program, batch);
    program.run({ accumulate: 0 });
    return (await program.read("y")).slice();
  } finally {
    program.free();
  }
}

async function modelOf(json: Json, fill: (name: string, size: number, at: number) => Float32Array) {
  const model = await Model.fresh(gpu, json, "tasks", { seed: 1 });
  const weights = new Map<string, Float32Array>();
  for (const [i, parameter] of [...model.parameters.values()].entries()) {
    const values = fill(parameter.name, parameter.size, i);
    parameter.write(values);
    weights.set(parameter.name, values);
  }
  return { model, weights };
}

/** The equations in float64, each row by its own task's weights alone. */
function reference(weights: Weights): number[] {
  const linear = (module: string, x: readonly number[]) => {
    const [w, b] = [weights.get(`${module}.weight`)!, weights.get(`${module}.bias`)];
    const out = w.length / x.length;
    return Array.from({ length: out }, (_, r) => x.reduce((sum, v, c) => sum + v * w[r * x.length + c]!, b?.[r] ?? 0));
  };
  return TASKS.flatMap((task, row) => {
    const e = linear(`fronts.${task}`, Array.from(normals(row, D)));
    const pooled = linear("gate_pool", e);
    const tau = weights.get(`gates.${task}.bias`)!;
    const gated = e.map((v, i) => v / (1 + Math.exp(-(3 + tau[i]! + pooled[i]!))));
    const h = linear("layers.0", gated).map((v) => Math.max(0, v));
    return linear(`heads.${task}`, h);
  });
}

test("maps, gates and heads of tasks agree with float64, forward and back", async () => {
  const json = { model_type: "mlp-tasks", num_tasks: 3, front_size: F, task_heads: true, task_gates: true, ...SIZES };
  const { model, weights } = await modelOf(json, (_, size, i) => normals(20 + i, size, 0.6));
  expect([...weights.keys()].filter((name) => /^(fronts|gates|heads)\.2/.test(name))).toHaveLength(5);
  const y = await answers(model, BATCH, true);
  const clean = reference(weights);
  for (const [i, value] of y.entries()) expect(Math.abs(value - clean[i]!)).toBeLessThan(1e-5);
  const total = (changed: Weights) => reference(changed).reduce((sum, v, i) => sum + v * UP[i]!, 0);
  for (const { name, gradient, size } of model.parameters.values()) {
    const found = await gpu.readFloats(gradient, size);
    for (const at of [0, Math.floor(size / 2), size - 1]) {
      const moved = (by: number) => {
        const values = Float64Array.from(weights.get(name)!);
        values[at]! += by;
        return total(new Map<string, ArrayLike<number>>([...weights, [name, values]]));
      };
      const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      if (!(Math.abs(found[at]! - slope) < 1e-4)) throw new Error(`${name}[${at}]: ${found[at]}, and ${slope}`);
    }
  }
  const stranger = stackExamples([{ x: normals(1, D), shape: [D], label: 0, group: 3 }]);
  await expect(answers(model, stranger)).rejects.toThrow("the model knows 3 of them as tasks");
  const rec = new Recorder(profileOf(gpu));
  const untold = { batch: 2, x: rec.input("x", [2, D]) };
  expect(() => model.record(rec, untold)).toThrow("nothing says here of which task a row is");
  model.free();
});

test("one task whose gates are 1 is the plain perceptron to the bit, and gates begin at 0.95", async () => {
  const alike = (name: string, size: number) =>
    name.startsWith("gates") ? new Float32Array(size).fill(40) : normals(name.length + size, size, 0.5);
  const json = { model_type: "mlp-tasks", num_tasks: 1, task_gates: true, ...SIZES };
  const own = await modelOf(json, (name, size) =>
    name === "gate_pool.weight" ? new Float32Array(size) : alike(name, size),
  );
  const plain = await modelOf({ model_type: "mlp", ...SIZES }, alike);
  const batch = stackExamples(TASKS.map((_, i) => ({ x: normals(i, D), shape: [D], label: 0 })));
  const expected = await answers(plain.model, batch);
  expect(await answers(own.model, batch)).toEqual(expected);
  own.model.parameters.get("gates.0.bias")!.write(new Float32Array(D));
  const begun = await answers(own.model, batch);
  const moved = Math.max(...begun.map((value, i) => Math.abs(value - expected[i]!)));
  expect(moved).toBeGreaterThan(1e-3);
  const shut = stackExamples(
    TASKS.map((_, i) => ({ x: normals(i, D).map((v) => v / (1 + Math.exp(-3))), shape: [D], label: 0 })),
  );
  for (const [i, value] of (await answers(plain.model, shut)).entries()) expect(begun[i]!).toBeCloseTo(value, 5);
  for (const { model } of [own, plain]) model.free();
});

const folder = mkdtempSync(join(tmpdir(), "ingot-tasks-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a task that is added learns, and the trunk and the other tasks stay to the bit", async () => {
  for (const [t, name] of ["a", "b", "c"].entries()) {
    // One rule, of numbers that stand elsewhere in each task.
    const rows = Array.from({ length: 24 }, (_, i) => {
      const z = [...normals(100 * t + i, 3)];
      return { x: z.map((_, k) => z[(k + t) % 3]!), y: [Math.abs(z[0]!) - z[1]!] };
    });
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const config = { ...SIZES, model_type: "mlp-tasks", num_tasks: 2, input_size: 3, front_size: 3, num_labels: 1 };
  writeFileSync(join(folder, "tasks.json"), JSON.stringify({ ...config, task_heads: true, task_gates: true }));
  writeFileSync(join(folder, "bare.json"), JSON.stringify({ ...config, front_size: null }));
  const run = (script: string, line: string) => runScript(script, `${line} -q`.split(" "), folder);
  const good = async (script: string, line: string) => {
    const { code, err, text } = await run(script, line);
    expect([line, code, err]).toEqual([line, 0, ""]);
    return text;
  };
  const FIT = "--loss mse --batch-size 8 --lr 2e-2 --save-every 0";
  await good("train", `--init tasks.json --data a.jsonl --data b.jsonl ${FIT} --steps 6 -o trunk/`);
  await good("train", `trunk/ --new-front --data c.jsonl ${FIT} --steps 12 --weight-decay 0.1 -o more/`);
  const [before, after] = [await tensorsOf(join(folder, "trunk")), await tensorsOf(join(folder, "more"))];
  for (const [name, values] of before) expect([name, after.get(name)]).toEqual([name, values]);
  expect([...after.keys()].filter((name) => !before.has(name)).sort()).toEqual(
    ["fronts.2.bias", "fronts.2.weight", "gates.2.bias", "heads.2.bias", "heads.2.weight"].sort(),
  );
  expect(after.get("gates.2.bias")!.every((value) => value !== 0)).toBe(true);
  const { num_tasks, first_task } = JSON.parse(await Bun.file(join(folder, "more/config.json")).text());
  expect([num_tasks, first_task]).toEqual([3, 2]);
  const mse = async (model: string) => {
    const { rows } = JSON.parse(await good("evaluate", `${model} --data c.jsonl --metric mse --json`));
    return (rows as { value: number }[])[0]!.value;
  };
  await good(
    "train",
    `trunk/ --new-front --data c.jsonl ${FIT} --lr 1e-30 --steps 1 -o begun/`.replace("--lr 2e-2 ", ""),
  );
  expect(await mse("more/")).toBeLessThan(0.9 * (await mse("begun/")));
  // Trained whole afterwards, it keeps what the tasks before have of their own.
  await good("train", `more/ --data c.jsonl ${FIT} --steps 2 --weight-decay 0.1 -o whole/`);
  const whole = await tensorsOf(join(folder, "whole"));
  for (const name of before.keys())
    expect([name, Buffer.from(whole.get(name)!.buffer).equals(Buffer.from(before.get(name)!.buffer))]).toEqual([
      name,
      /^(fronts|gates|heads)/.test(name),
    ]);
  await good("train", `--init bare.json --data a.jsonl ${FIT} --steps 1 -o bare/`);
  for (const [line, message] of [
    ["more/ --data a.jsonl --data b.jsonl", "the model knows 1 of them as tasks"],
    ["trunk/ --new-front --data a.jsonl --data b.jsonl", "adds one task"],
    ["trunk/ --new-front --data a.jsonl --train-only layers.*", "--train-only says otherwise"],
    ["bare/ --new-front --data a.jsonl", "bare/ is one without"],
  ] as const) {
    const { code, err } = await run("train", `${line} ${FIT} --steps 1 -o x/`);
    expect([line, code, err]).toEqual([line, 2, expect.stringContaining(message)]);
  }
});
