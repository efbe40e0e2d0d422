/** `train --prune polarize`: gates of 0 and 1, what they learn by, and the smaller model that is left. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../../src/model/architecture.ts";
import type { Model } from "../../../src/model/model.ts";
import { sliceOf } from "../../../src/model/structure/slice.ts";
import { shapedModel } from "../../../src/model/structure/subnet.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { loadSmaller } from "../../../src/run/training/smaller-result.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { type GatedUnit, Gates, straightThrough } from "../../../src/train/widths/gates.ts";
import { gateTerms, keptUnits, openUnits } from "../../../src/train/widths/polarize.ts";
import { apart, batchFor, logitsOf, network } from "../../merge/structure/networks.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-polarize-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a gate is 0 or 1, and its gradient that of the sigmoid", async () => {
  const z = Float32Array.of(-3, -0.1, 0.1, 2);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { z: { shape: [4], data: z, grad: true } },
    build: (rec, given) => ({ g: straightThrough(rec, given.z!) }),
    seeds: { g: Float32Array.of(1, 1, 2, 1) },
  });
  expect([...outputs.g!]).toEqual([0, 0, 1, 1]);
  const slope = (x: number) => Math.exp(-x) / (1 + Math.exp(-x)) ** 2;
  for (const [i, seed] of [1, 1, 2, 1].entries()) expect(gradients.z![i]).toBeCloseTo(seed * slope(z[i]!), 5);
});

test("gates that agree cost nothing, and the budget counts the weights of units", async () => {
  const group = (id: string, units: number, cost: number) => ({ id, units, cost, layer: 0 });
  const { outputs } = await runOp(gpu, {
    inputs: {
      a: { shape: [1, 2], data: Float32Array.of(1, 0.25) },
      b: { shape: [1, 1], data: Float32Array.of(0) },
    },
    build: (rec, { a, b }) => {
      const shares = [
        { group: group("a", 2, 3), p: a! },
        { group: group("b", 1, 4), p: b! },
      ];
      const { disagreement, budget, open } = gateTerms(rec, shares, 0.5);
      return { disagreement, budget, open };
    },
  });
  expect(outputs.disagreement![0]).toBeCloseTo((0.25 * 0.75) / 3, 6);
  expect(outputs.open![0]).toBeCloseTo(3.75 / 10, 6);
  expect(outputs.budget![0]).toBeCloseTo(0.125 ** 2, 6);
});

async function logits(
  model: Model,
  record: (rec: Recorder, inputs: ReturnType<typeof recordInputs>) => ReturnType<Model["record"]>,
) {
  const batch = batchFor(model);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, head } = record(rec, recordInputs(rec, batch));
  rec.output("logits", head(hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const found = await program.read("logits");
  program.free();
  return Float32Array.from(found);
}

const grouped: Json = { ...TINY_TEXT.llama, hidden_size: 32, num_attention_heads: 8, num_key_value_heads: 4 };
const CASES: readonly (readonly [string, Json, GatedUnit])[] = [
  ["llama", grouped, "layer"],
  ["llama", grouped, "head"],
  ["llama", grouped, "ffn"],
  ["gpt2", { ...TINY_TEXT.gpt2, n_head: 4 }, "head"],
  ["vit", { ...TINY_EXAMPLES.vit }, "layer"],
  ["vit", { ...TINY_EXAMPLES.vit }, "head"],
  ["vit", { ...TINY_EXAMPLES.vit }, "ffn"],
  ["mlp", { ...TINY_EXAMPLES.mlp }, "ffn"],
];

test.each(CASES)(
  "where all rows agree, what is left computes what the gates let through: %s",
  async (name, json, unit) => {
    const checkpoint = await network(gpu, json, 3, name);
    let wanted = new Float32Array();
    let small = new Float32Array();
    let size = [0, 0];
    await logitsOf(gpu, checkpoint, async (model, rec, inputs) => {
      const gates = new Gates(model, name, unit, 0);
      for (const { id, layer, units } of gates.groups) {
        const last = gates.lastLayer(id);
        last.weight.write(new Float32Array(last.weight.size));
        // Other numbers of open units in each block, so that some are filled up.
        const open = (place: number) =>
          unit === "layer" ? layer === 1 : place % 3 !== 0 || (layer === 1 && place > 2);
        last.bias.write(Float32Array.from({ length: units }, (_, place) => (open(place) ? 3 : -3)));
      }
      const open = await openUnits(model, gates, [batchFor(model)]);
      expect([...open.values()].flatMap((p) => [...p]).every((p) => p < 1e-5 || p > 1 - 1e-5)).toBe(true);
      const kept = keptUnits(model, name, gates, open);
      const result = await loadSmaller(model, sliceOf(shapedModel(model, name), kept), {
        ref: name,
        files: checkpoint.files,
      });
      small = await logits(result.model, (own, given) => result.model.record(own, given));
      wanted = await logits(model, (own, given) => model.record(own, given, gates.through(own, given).options));
      size = [result.model.parameterCount().total, model.parameterCount().total];
      result.model.free();
      return model.record(rec, inputs);
    });
    expect(size[0]!).toBeLessThan(size[1]!);
    expect(apart(small, wanted)).toBeLessThan(unit === "layer" ? 1e-7 : 1e-5);
  },
);

describe("the script", () => {
  const net = { model_type: "mlp", input_size: 16, hidden_sizes: [24, 16], num_labels: 10 };
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(net));
  const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
  const line =
    "--init mlp.json --data blobs.jsonl --steps 30 --batch-size 16 --lr 0.03 --save-every 0 --prune polarize --prune-keep 0.4";

  test("writes a smaller model, and tells how many units are left", async () => {
    expect((await run("data", "blobs --size 48 -o blobs.jsonl")).code).toBe(0);
    const { code, err, text } = await run("train", `${line} --prune-budget 50 --json --eval-data blobs.jsonl -o small`);
    expect(code === 0 ? "" : err).toBe("");
    const found = JSON.parse(text);
    const { hidden_sizes: sizes } = JSON.parse(readFileSync(join(folder, "small/config.json"), "utf8"));
    expect(found.units).toBe(40);
    // A layer of which nothing is open keeps one unit, read by zeros.
    expect(sizes[0] + sizes[1] - found.units_kept).toBeOneOf([0, 1]);
    expect(found.units_kept).toBeLessThan(40);
    expect(found.parameters.written).toBeLessThan(found.parameters.total);
    expect((await run("evaluate", "small --data blobs.jsonl")).code).toBe(0);
  });

  test("what it is not for is refused", async () => {
    const refused = async (own: string) => (await run("train", own)).err;
    expect(await refused(`${line} --out -`)).toContain("the header of a stream is written before");
    expect(await refused(`${line} --prune-unit layer -o none`)).toContain("has no blocks that are known");
    expect(await refused(`${line} --supernet deps -o none`)).toContain(
      "--supernet deps and --prune polarize are two objectives",
    );
  });
});
