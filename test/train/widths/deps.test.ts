/** `train --supernet deps`, and what `compress extract` cuts out of its result. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { Model } from "../../../src/model/model.ts";
import { drawn, smallerModels, weightAt } from "../../../src/train/widths/deps.ts";
import { apart, logitsOf } from "../../merge/structure/networks.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-deps-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const MLP = { model_type: "mlp", input_size: 16, hidden_sizes: [12, 8], num_labels: 10 };
const LLAMA = { ...TINY_TEXT.llama, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 264 };

const run = async (script: string, line: string) => {
  const ran = await runScript(script, line.split(" "), folder);
  expect(ran.code === 0 ? "" : ran.err).toBe("");
  return ran;
};
const BLOBS = "train --init mlp.json --data blobs.jsonl --steps 6 --batch-size 8 --lr 0.05 --save-every 0";
const train = (line: string) => run("train", `${BLOBS} ${line}`.replace("train ", ""));
const weights = (name: string) => readFileSync(at(`${name}/model.safetensors`));
/** The values alone: headers name options. */
const values = (name: string) => {
  const bytes = weights(name);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
};

beforeAll(async () => {
  writeFileSync(at("mlp.json"), JSON.stringify(MLP));
  writeFileSync(at("tiny.json"), JSON.stringify(LLAMA));
  writeFileSync(at("rows.jsonl"), '{"text":"one and two"}\n{"text":"three and four"}\n');
  await run("data", "blobs --size 48 -o blobs.jsonl");
  await train("-o whole");
});

describe("the course", () => {
  const course = { supernet_warmup: 0.5, supernet_begin: 0.01, supernet_weight: 1, supernet_ramp: 0.2 };
  test("nothing before the warm-up's end, then a line, then its end", () => {
    expect(weightAt(course, 50, 100)).toBeUndefined();
    expect(weightAt(course, 51, 100)).toBe(0.01);
    expect(weightAt(course, 56, 100)).toBeCloseTo(0.505, 9);
    expect(weightAt(course, 61, 100)).toBe(1);
    expect(weightAt({ ...course, supernet_warmup: 1 }, 100, 100)).toBeUndefined();
  });

  test("the smallest every time, and others by the step alone", () => {
    const names = ["a", "b", "c", "d"];
    const steps = Array.from({ length: 40 }, (_, step) => drawn(names, 3, 7, step));
    expect(steps.every(([first, ...more]) => first === "a" && new Set(more).size === 2)).toBe(true);
    expect(new Set(steps.flat()).size).toBe(4);
    expect(drawn(names, 3, 7, 11)).toEqual(steps[11]!);
    expect(drawn(["a"], 3, 7, 1)).toEqual(["a"]);
  });
});

test("a warm-up of all steps is the training of the whole model, and a weight of 0 leaves its bits", async () => {
  await train("--supernet deps --supernet-warmup 1 -o warm");
  expect(values("warm").equals(values("whole"))).toBe(true);
  await train("--supernet deps --supernet-warmup 0 --supernet-begin 0 --supernet-weight 0 -o nothing");
  expect(values("nothing").equals(values("whole"))).toBe(true);
  await train("--supernet deps --supernet-warmup 0 -o moved");
  expect(values("moved").equals(values("whole"))).toBe(false);
});

test("what is cut out gives the bits of the model inside", async () => {
  await run(
    "train",
    "--init tiny.json --tokenizer byte --data rows.jsonl --steps 2 --batch-size 2 --save-every 0 --supernet deps --widths 0.5 --depths 1 --supernet-warmup 0.4 -o super",
  );
  await run("compress", "extract super --width 0.5 --depth 1 -o small");
  const [whole, small] = [await open(at("super")), await open(at("small"))];
  const cut = await logitsOf(gpu, small);
  const inside = await logitsOf(gpu, whole, async (model, rec, inputs) => {
    const found = await smallerModels(model, "super", [0.5, 1], [1, 2]);
    expect(found.map(({ name }) => name)).toEqual(["0.5x1", "0.5x2", "1x1"]);
    return found[0]!.subnet.record(rec, inputs);
  });
  expect([...inside]).toEqual([...cut]);
  expect(apart(cut, await logitsOf(gpu, whole))).toBeGreaterThan(1e-3);
  expect(JSON.parse(readFileSync(at("small/config.json"), "utf8"))).toMatchObject({
    ...{ num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, intermediate_size: 20 },
  });
});

test("models and options that it is not for are refused", async () => {
  const refused = async (line: string) =>
    (await runScript("train", `${BLOBS} ${line}`.replace("train ", "").split(" "), folder)).err;
  expect(await refused("--supernet deps --depths 1 -o none")).toContain("no blocks on a residual stream");
  expect(await refused("--supernet deps --widths 1 -o none")).toContain("leave the whole model alone");
  expect(await refused("--supernet deps --widths 0.5,2 -o none")).toContain("expected shares above 0, up to 1");
  expect(await refused("--supernet deps --smoothing 0.1 -o none")).toContain("--smoothing and --supernet deps");
  const model = await Model.fresh(gpu, MLP, "mlp", { seed: 0 });
  expect(smallerModels(model, "mlp", [0.5], undefined)).resolves.toHaveLength(1);
});
