/** `train --dynamic-width ftwt`: units that each input switches, and what that saves. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dynamicUnits } from "../../../src/model/blocks/dynamic-width.ts";
import { Model } from "../../../src/model/model.ts";
import { Network } from "../../../src/model/network.ts";
import { operationsOf } from "../../../src/run/tracing/firing.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { maskLoss } from "../../../src/train/widths/ftwt.ts";
import { apart, logitsOf, network } from "../../merge/structure/networks.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXAMPLES } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-ftwt-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);

describe("a model with predictors", () => {
  test.each(["mlp", "vit"])("%s: all units stay with a mass below 0", async (name) => {
    const own = { ...TINY_EXAMPLES[name] };
    const dense = await network(gpu, { ...own, dynamic_width: { mass: -1 } }, 3, name);
    const tensors = new Map([...dense.tensors].filter(([tensor]) => !tensor.includes("predictor")));
    expect(tensors.size).toBeLessThan(dense.tensors.size);
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(own))]]);
    const plain = await logitsOf(gpu, { ...dense, tensors, files });
    expect([...(await logitsOf(gpu, dense))]).toEqual([...plain]);
    const switched = new Map([
      ["config.json", new TextEncoder().encode(JSON.stringify({ ...own, dynamic_width: { mass: 0.5 } }))],
    ]);
    expect(apart(await logitsOf(gpu, { ...dense, files: switched }), plain)).toBeGreaterThan(1e-3);
  });

  test("no gradient goes from a mask to what the predictor reads, and some to the predictor", async () => {
    const parameters = ["p.weight", "p.bias"].map((name, i) => {
      const made = new Parameter(gpu, name, i === 0 ? [3, 2] : [3]);
      made.write(i === 0 ? normals(1, 6) : normals(2, 3));
      return made;
    });
    const { gradients } = await runOp(gpu, {
      inputs: {
        read: { shape: [4, 2], data: normals(3, 8), grad: true },
        units: { shape: [4, 3], data: normals(4, 12), grad: true },
      },
      build: (rec, { read, units }) => {
        const net = new Network(rec, {
          parameters: new Map(parameters.map((parameter) => [parameter.name, parameter])),
          ...{ transposed: new Set(), adapter: undefined, recompute: false },
          inputs: { batch: 4, x: read! },
        });
        const place = { module: "p", layer: 0, read: read!, units: units! };
        return { y: dynamicUnits(net, { mass: 0.5 }, place, { batch: 4, x: read! }) };
      },
      seeds: { y: normals(5, 12) },
    });
    expect(gradients.read?.every((x) => x === 0) ?? true).toBe(true);
    expect(gradients.units!.some((x) => x !== 0)).toBe(true);
    const found = await gpu.readFloats(parameters[0]!.gradient, 6);
    expect(found.some((x) => x !== 0)).toBe(true);
    for (const parameter of parameters) parameter.free();
  });

  test("the loss of predictors is the binary cross-entropy", async () => {
    const [z, y] = [normals(6, 6), Float32Array.of(1, 0, 0, 1, 1, 0)];
    const { outputs } = await runOp(gpu, {
      inputs: { z: { shape: [2, 3], data: z }, y: { shape: [2, 3], data: y } },
      build: (rec, given) => ({ loss: maskLoss(rec, given.z!, given.y!) }),
    });
    const wanted = z.reduce((sum, x, i) => sum + Math.log(1 + Math.exp(y[i] === 1 ? -x : x)), 0) / 2;
    expect(outputs.loss![0]).toBeCloseTo(wanted, 5);
  });

  test("operations are two for each weight between units that are computed", async () => {
    const mlp = await Model.fresh(gpu, { ...TINY_EXAMPLES.mlp, dynamic_width: { mass: 0.5 } }, "mlp", { seed: 0 });
    expect(operationsOf(mlp, "mlp")([9, 5])).toBe(2 * (7 * 9 + 9 * 5 + 5 * 3));
    expect(operationsOf(mlp, "mlp")([4, 2])).toBe(2 * (7 * 4 + 4 * 2 + 2 * 3));
    mlp.free();
    const vit = await Model.fresh(gpu, { ...TINY_EXAMPLES.vit, dynamic_width: { mass: 0.5 } }, "vit", { seed: 0 });
    const of = operationsOf(vit, "vit");
    // Two blocks of 10 tokens, 12 wide.
    expect(of([20, 20]) - of([20, 15])).toBe(2 * 10 * 2 * 12 * 5);
    vit.free();
    const plain = await Model.fresh(gpu, { ...TINY_EXAMPLES.mlp }, "mlp", { seed: 0 });
    expect(() => operationsOf(plain, "plain")).toThrow("plain has no predictors of its hidden units");
    plain.free();
  });
});

test("the scripts: predictors learn, and a probe tells what is saved", async () => {
  writeFileSync(
    join(folder, "mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 16, hidden_sizes: [24], num_labels: 10 }),
  );
  expect((await run("data", "blobs --size 64 -o blobs.jsonl")).code).toBe(0);
  const line = "--init mlp.json --data blobs.jsonl --steps 40 --batch-size 16 --lr 0.05 --save-every 0 --log log.jsonl";
  const { code, err } = await run("train", `${line} --dynamic-width ftwt --mass 0.7 -o switched`);
  expect(code === 0 ? "" : err).toBe("");
  const steps = readFileSync(join(folder, "log.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text))
    .filter(({ event }) => event === "step");
  expect(steps.at(-1).mask_loss).toBeLessThan(0.8 * steps[0].mask_loss);
  const { text } = await run("evaluate", "switched --data blobs.jsonl --probe dynamic-width --json");
  const [row] = JSON.parse(text).rows;
  expect(row.operations_saved).toBeGreaterThan(0.05);
  expect(row.operations_saved).toBeLessThan(1);
  expect(row.layers[0].right).toBeGreaterThan(0.6);
  expect((await run("evaluate", "switched --data blobs.jsonl")).code).toBe(0);
  writeFileSync(
    join(folder, "tiny.json"),
    JSON.stringify({
      model_type: "llama",
      hidden_size: 16,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      vocab_size: 264,
      max_position_embeddings: 32,
    }),
  );
  writeFileSync(join(folder, "rows.jsonl"), '{"text":"a"}\n');
  const refused = await run(
    "train",
    "--init tiny.json --tokenizer byte --data rows.jsonl --steps 1 --dynamic-width ftwt -o none",
  );
  expect(refused.err).toContain("--dynamic-width switches hidden units of mlp and vit");
});
