/** `train stages`: stages that begin at kept outputs are those that compute them, and leave what is below alone. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { Model } from "../../src/model/model.ts";
import { beginStage, type StageWork, trainStage } from "../../src/train/layers/stages.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-stages-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

const [INPUT, CLASSES] = [3, 3];
const NET = { model_type: "mlp", input_size: INPUT, hidden_sizes: [7, 5], num_labels: CLASSES, hidden_act: "gelu" };
const ROWS = Array.from({ length: 14 }, (_, i) => {
  const x = normals(30 + i, INPUT);
  return { x, shape: [INPUT], label: x.indexOf(Math.max(...x)), group: 0, place: `row ${i}` };
});
const NUMBERS = ROWS.map((row) => ({ ...row, label: 0, y: Float32Array.of(row.x[0]! - row.x[1]!, row.x[2]!) }));

const adamw = bindDefaults(await loadMethod("optimizer", "adamw"));
const ce = bindDefaults(await loadMethod("loss", "ce"));
const mse = bindDefaults(await loadMethod("loss", "mse"));

const made = async (json: Readonly<Record<string, unknown>> = NET): Promise<Model> =>
  Model.fresh(await sharedGpu(), json as typeof NET, "net", { seed: 1 });

const work = (model: Model, given: Partial<StageWork> = {}): StageWork => ({
  ...{ model, train: ["layers.1.*", "classifier.*"], examples: ROWS, groups: ["rows"], loss: ce, optimizer: adamw },
  // Five rows a step of fourteen: four are left over in every epoch, and in the file's last batch.
  ...{ steps: 9, lr: 0.05, batchSize: 5, name: "stage 2", place: "stage 2", seed: 3, file: undefined },
  ...given,
});

async function valuesOf({ gpu, parameters }: Model): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const [name, { buffer, size }] of parameters) found.set(name, await gpu.readFloats(buffer, size));
  return found;
}

async function trained(json: Readonly<Record<string, unknown>>, given: Partial<StageWork>) {
  const model = await made(json);
  const before = await valuesOf(model);
  const result = await trainStage(work(model, given), { signal });
  const after = await valuesOf(model);
  model.free();
  return { before, after, result };
}

test.each([
  ["classes", NET, { loss: ce }],
  ["numbers", { ...NET, num_labels: 2, problem_type: "regression" }, { loss: mse, examples: NUMBERS }],
] as const)(
  "of %s: the same bytes from the file, from the file once more, and without one",
  async (kind, json, given) => {
    const file = join(folder, `${kind}.safetensors`);
    const plain = await trained(json, given);
    const [first, again] = [await trained(json, { ...given, file }), await trained(json, { ...given, file })];
    expect([plain, first, again].map(({ result }) => result.cache)).toEqual(["none", "made", "read"]);
    expect([plain, first, again].map(({ result }) => result.from)).toEqual(["hidden.1", "hidden.1", "hidden.1"]);
    expect(first.after).toEqual(plain.after);
    expect(again.after).toEqual(plain.after);
    expect(first.result.loss).toBe(plain.result.loss);
    for (const [name, values] of plain.after) {
      if (name.startsWith("layers.0.")) expect([name, values]).toEqual([name, plain.before.get(name)!]);
      else expect([name, values]).not.toEqual([name, plain.before.get(name)!]);
    }
  },
);

test("a file of other weights, rows or batches is written again", async () => {
  const file = join(folder, "stale.safetensors");
  const other = { ...ROWS[0]!, x: Float32Array.of(9, 9, 9) };
  const cacheOf = async (given: Partial<StageWork>) => (await trained(NET, { ...given, file, steps: 1 })).result.cache;
  expect(await cacheOf({})).toBe("made");
  // What is trained above is none of its business.
  expect(await cacheOf({ lr: 0.5, seed: 4, loss: bindDefaults(await loadMethod("loss", "focal")) })).toBe("read");
  expect(await cacheOf({ examples: [other, ...ROWS.slice(1)] })).toBe("again");
  expect(await cacheOf({})).toBe("again");
  expect(await cacheOf({ batchSize: 4 })).toBe("again");
  const model = await made();
  model.parameters.get("layers.0.bias")!.write(new Float32Array(7).fill(0.5));
  expect((await trainStage(work(model, { file, batchSize: 4 }), { signal })).cache).toBe("again");
  model.free();
  writeFileSync(file, readFileSync(file).subarray(0, 40));
  await expect(trained(NET, { file })).rejects.toThrow();
});

test("what a step keeps does not grow with the layers below", async () => {
  const wide = { ...NET, hidden_sizes: [7, 900, 7, 5] };
  const train = ["layers.3.*", "classifier.*"];
  const bytes = async (hidden: readonly number[], file?: string) => {
    const json = { ...wide, hidden_sizes: hidden };
    return (await trained(json, { train, steps: 1, file: file && join(folder, file) })).result.activations;
  };
  const [thin, thick] = [
    await bytes([7, 9, 7, 5], "thin.safetensors"),
    await bytes([7, 900, 7, 5], "thick.safetensors"),
  ];
  expect(thick).toBe(thin);
  expect(await bytes([7, 900, 7, 5])).toBeGreaterThan(thin + 4 * 5 * 900);
});

test("a stage begins above all that is frozen below its first trained layer", async () => {
  const model = await made();
  const from = (...train: string[]) => beginStage(model, train, ROWS[0]!)?.note;
  expect(from("layers.0.bias")).toBeUndefined();
  expect(from("layers.0.*", "classifier.*")).toBeUndefined();
  expect(from("layers.1.*")).toBe("hidden.1");
  expect(from("classifier.bias")).toBe("hidden.2");
  expect(model.trainable().map(({ name }) => name)).toEqual(["classifier.bias"]);
  model.free();
});

test("the script trains stage by stage, and refuses what does not fit before it begins", async () => {
  const write = (name: string, value: unknown) => writeFileSync(join(folder, name), JSON.stringify(value));
  write("net.json", NET);
  write("normed.json", { ...NET, hidden_norm: "batch" });
  const lines = ROWS.map(({ x, label }) => JSON.stringify({ x: [...x], label }));
  writeFileSync(join(folder, "rows.jsonl"), lines.join("\n"));
  const data = "rows.jsonl";
  write("good.json", [
    { train: ["layers.0.*", "classifier.*"], data, steps: 3 },
    { train: ["layers.1.*", "classifier.*"], data, loss: "focal", lr: 0.01, batch_size: 4 },
  ]);
  const run = (line: string) => runScript("train", `stages ${line}`.split(" "), folder);
  const built = await run("good.json --init net.json --cache below --steps 4 --json -o out/");
  expect(built.code).toBe(0);
  const { stages } = JSON.parse(built.text);
  expect(stages).toMatchObject([
    { from: "rows", steps: 3, cache: "none", weights: 46 },
    { from: "hidden.1", steps: 4, cache: "made", weights: 58 },
  ]);
  expect(existsSync(join(folder, "below/stage-2.safetensors"))).toBe(true);
  const plain = await run("good.json --init net.json --steps 4 -o plain/");
  expect(plain.code).toBe(0);
  const [kept, computed] = ["out", "plain"].map((name) => {
    const bytes = readFileSync(join(folder, name, "model.safetensors"));
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
  });
  expect(kept!.length).toBe(4 * (4 * 7 + 8 * 5 + 6 * 3));
  expect(computed).toEqual(kept);

  const refused = async (stage: unknown, net = "net.json") => {
    write("bad.json", [stage]);
    const { code, err } = await run(`bad.json --init ${net} -o no/`);
    expect(code).toBe(2);
    return err;
  };
  expect(await refused({ train: "layers.*", data, rate: 1 })).toContain("stage 1 has no rate");
  expect(await refused({ train: "layer.*", data })).toContain('no weight is named "layer.*"');
  expect(await refused({ train: "layers.*", data, steps: 0.5 })).toContain("whole number above 0");
  expect(await refused({ train: [], data })).toContain("train should be a text or a list");
  expect(await refused({ train: "layers.*", data, loss: "mse" })).toContain("stage 1: --loss mse");
  expect(await refused({ train: "layers.*", data, loss: "best" })).toContain("best");
  const full = await run("good.json --init net.json --cache rows.jsonl -o no/");
  expect([full.code, full.err]).toEqual([2, expect.stringContaining("--cache rows.jsonl cannot be made")]);
  expect(await refused({ train: "layers.*", data }, "normed.json")).toContain("batch norms");
});
