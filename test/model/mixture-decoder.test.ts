/** Ways of routing against float64 loops, and the mixture that is made of them. */
import { describe, expect, test } from "bun:test";
import type { Json } from "../../src/model/architecture.ts";
import { method as architecture } from "../../src/model/architectures/mixture-decoder.ts";
import { sparseMlp } from "../../src/model/blocks/experts.ts";
import { ROUTER_NAMES, type RouterName } from "../../src/model/blocks/routers.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { Network } from "../../src/model/network.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { unitRows } from "../../src/tensor/ops/unit-rows.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { mixture, ROWS, training } from "../run/training/experts/mixtures.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const NAMES = { module: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };
const [N, E] = [9, 4];
const json = (router: RouterName, more: object = {}): Json => mixture("mixture_decoder", { router, ...more });

const rowsTimes = (x: Float64Array, w: Float64Array, into: number): Float64Array => {
  const [n, out] = [x.length / into, w.length / into];
  return Float64Array.from({ length: n * out }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < into; i++) sum += x[Math.floor(at / out) * into + i]! * w[(at % out) * into + i]!;
    return sum;
  });
};

/** Each row divided by its length. */
const units = (x: Float64Array, width: number): Float64Array =>
  x.map(
    (value, i) => value / Math.hypot(...x.subarray(Math.floor(i / width) * width, (Math.floor(i / width) + 1) * width)),
  );

/** What the first block's experts make of h, and the same in float64. */
async function mixed(router: RouterName, k: number, normalize: boolean) {
  const config = json(router, { num_experts_per_tok: k, norm_topk_prob: normalize });
  const model = await Model.fresh(gpu, config, "m", { seed: 4 });
  const c = architecture.config(config, "config.json");
  const h = normals(1, N * 24);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const inputs = recordInputs(rec, ROWS);
  const net = new Network(rec, {
    ...{ parameters: model.parameters, transposed: new Set<string>(), adapter: undefined, inputs, recompute: false },
  });
  rec.output("y", sparseMlp(net, c, { prefix: "model.layers.0", layer: 0, names: NAMES }, rec.input("h", [N, 24])));
  const program = await Program.compile(gpu, rec);
  program.write("h", h);
  program.run();
  const found = await program.read("y");
  const weight = async (name: string) => {
    const { buffer, size } = model.parameters.get(`model.layers.0.mlp.${name}`)!;
    return Float64Array.from(await gpu.readFloats(buffer, size));
  };
  const x = Float64Array.from(h);
  const gate = await weight("gate.weight");
  const logits =
    router === "cosine"
      ? rowsTimes(units(rowsTimes(x, await weight("projection.weight"), 24), 5), units(gate, 5), 5).map((v) => v / 0.2)
      : rowsTimes(x, gate, 24);
  const score = router === "sigmoid" ? (v: number) => 1 / (1 + Math.exp(-v)) : Math.exp;
  const [g, u, d] = [
    await weight("experts.gate_proj"),
    await weight("experts.up_proj"),
    await weight("experts.down_proj"),
  ];
  const expected = new Float64Array(N * 24);
  for (let n = 0; n < N; n++) {
    const own = logits.slice(n * E, n * E + E);
    const scores = own.map(score);
    const chosen = [...own.keys()].sort((a, b) => own[b]! - own[a]!).slice(0, k);
    const all = scores.reduce((a, b) => a + b);
    const whole = normalize ? chosen.reduce((sum, e) => sum + scores[e]!, 0) : router === "sigmoid" ? 1 : all;
    const row = x.subarray(n * 24, n * 24 + 24);
    for (const e of chosen) {
      const part = (w: Float64Array) => w.subarray(e * 7 * 24, (e + 1) * 7 * 24);
      const up = rowsTimes(row, part(u), 24);
      const inner = rowsTimes(row, part(g), 24).map((v, i) => (v / (1 + Math.exp(-v))) * up[i]!);
      for (const [i, v] of rowsTimes(inner, part(d), 7).entries()) expected[n * 24 + i]! += (scores[e]! / whole) * v;
    }
  }
  program.free();
  model.free();
  return { found, expected };
}

describe.each(ROUTER_NAMES)("%s", (router) => {
  test.each([
    [E, true],
    [E, false],
    [2, true],
    [1, false],
  ])(
    "%d of four experts, weights over their sum %p: the mixture of the experts that are chosen",
    async (k, normalize) => {
      const { found, expected } = await mixed(router, k, normalize);
      const most = Math.max(...expected.map(Math.abs));
      for (const [i, x] of expected.entries()) expect(Math.abs(found[i]! - x) / most).toBeLessThan(2e-5);
    },
  );

  test("a config says all that was read, and experts are balanced", async () => {
    const { config } = await describeConfig(json(router), "m");
    const own = architecture.config(json(router), "m");
    expect(architecture.config({ model_type: "mixture_decoder", ...architecture.implied!(own) } as Json, "m")).toEqual(
      own,
    );
    expect(config).toEqual(own);
    const run = await training(json(router), { moe_balance: "global" }, { lr: 0.01 });
    const before = await run.step(1, [ROWS]);
    expect(before.balance_loss).toBeGreaterThan(0.5);
    for (const { name, gradient, size } of run.model
      .trainable()
      .filter(({ name }) => /mlp\.(gate|noise|projection)/.test(name))) {
      const found = await gpu.readFloats(gradient, size);
      expect([name, found.every((x) => x === 0)]).toEqual([name, false]);
    }
    run.free();
  });
});

test("noise is drawn anew for each seed, in training alone, and is the same where a block is recomputed", async () => {
  const model = await Model.fresh(gpu, json("noisy"), "m", { seed: 4 });
  const hidden = async (seed: number, isTraining: boolean, recompute = false) => {
    const rec = new Recorder(profileOf(gpu), { training: isTraining });
    rec.output("hidden", model.record(rec, recordInputs(rec, ROWS), { recompute }).hidden);
    const program = await Program.compile(gpu, rec);
    fillInputs(program, ROWS);
    program.run({ seed });
    const values = await program.read("hidden");
    program.free();
    return values;
  };
  const one = await hidden(1, true);
  expect(await hidden(1, true)).toEqual(one);
  expect(await hidden(1, true, true)).toEqual(one);
  expect(await hidden(2, true)).not.toEqual(one);
  expect(await hidden(1, false)).not.toEqual(one);
  expect(await hidden(2, false)).toEqual(await hidden(1, false));
  model.free();
  const gradients = async (recompute: boolean) => {
    const run = await training(json("noisy"), {}, { recompute });
    await run.step(1, [ROWS]);
    const noise = run.model.trainable().find(({ name }) => name.endsWith("1.mlp.noise.weight"))!;
    const found = await gpu.readFloats(noise.gradient, noise.size);
    run.free();
    return found;
  };
  const [plain, again] = [await gradients(false), await gradients(true)];
  for (const [i, x] of plain.entries()) expect(again[i]).toBeCloseTo(x, 6);
});

test("a router that there is not is refused", async () => {
  const refused = describeConfig({ ...(json("softmax") as object), router: "round-robin" } as Json, "m");
  await expect(refused).rejects.toThrow('router must be "softmax" or "sigmoid" or "noisy" or "cosine"');
});

test("rows at length 1, forward and back", async () => {
  await checkOp(gpu, "unit rows", {
    inputs: { x: { shape: [5, 7], data: normals(3, 35) } },
    build: (rec, { x }) => unitRows(rec, x!),
    reference: ({ x }) => units(x!, 7),
  });
});
