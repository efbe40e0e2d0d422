import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { openGpu } from "../../../src/gpu/gpu.ts";
import { method as selfPosition } from "../../../src/merge/methods/averages/self-position.ts";
import { method as adamerging } from "../../../src/merge/methods/task-vectors/adamerging.ts";
import { method as pcb } from "../../../src/merge/methods/task-vectors/pcb.ts";
import { encodeTable } from "../../../src/merge/tuning/table.ts";
import { lossesAt, plannedTuning, tunePlan } from "../../../src/merge/tuning/tune-plan.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { entryOf } from "../../support/entry.ts";
import { ownGpu, sharedGpu } from "../../support/gpu.ts";
import { checkpointOf, type Learner, LLAMA, learner, mlp, Rows } from "./world.ts";

setDefaultTimeout(120_000); // the machine may be busy

const rows = new Rows();
afterAll(() => rows[Symbol.dispose]());
const TEXT = ["one", "two"].map((name, i) => rows.tokens(name, 11, i + 1));
const NUMBERS = ["one", "two"].map((name, i) => rows.numbers(`x-${name}`, i + 1));

const PAIRS = ["one", "two"].map((name, i) =>
  rows.write(
    `pairs-${name}`,
    Array.from({ length: 12 }, (_, row) => ({
      query: `${name} ${"abcdefghijkl"[row]}`,
      positive: `${"mnopqrstuvwx"[(row + i) % 12]}${row % 2 ? ` ${row}` : ""}`,
      ...(row % 3 ? {} : { negative: `not ${row}` }),
    })),
  ),
);
/** An encoder that reads bytes. */
const BERT: Json = {
  ...{ model_type: "bert", hidden_size: 12, intermediate_size: 20, num_hidden_layers: 2, num_attention_heads: 2 },
  ...{ vocab_size: 264, max_position_embeddings: 24, type_vocab_size: 1 },
};

let gpu: Gpu;
let text: Pick<Learner, "base" | "models">;
let encoders: Pick<Learner, "base" | "models">;
let heads: Pick<Learner, "base" | "models" | "own">;
beforeAll(async () => {
  gpu = await sharedGpu();
  const near = (json: Record<string, unknown>, seed: number) => checkpointOf(`m${seed}`, json, { change: 0.3, seed });
  text = { base: await checkpointOf("base", LLAMA), models: [await near(LLAMA, 2), await near(LLAMA, 3)] };
  const reading = (checkpoint: Checkpoint): Checkpoint => ({
    ...checkpoint,
    files: new Map([...checkpoint.files, ...byteTokenizer().files]),
    // Norms whose gains are about 0 would leave all texts alike.
    tensors: new Map(
      [...checkpoint.tensors].map(([name, entry]) => [
        name,
        /LayerNorm.weight$/.test(name) ? entryOf(name, "F32", entry.shape, new Float32Array(12).fill(1)) : entry,
      ]),
    ),
  });
  encoders = {
    base: reading(await checkpointOf("base", BERT)),
    models: [reading(await near(BERT, 2)), reading(await near(BERT, 3))],
  };
  heads = {
    base: await checkpointOf("base", mlp(2)),
    models: [await near(mlp(3), 2), await near(mlp(4), 3)],
    own: (name) => name.startsWith("classifier"),
  };
});

const weightsOf = ({ plan }: Awaited<ReturnType<typeof tunePlan>>): unknown[][] =>
  plan.tensors.map(({ perModel }) => perModel.map(({ weight }) => weight));

const FORMS: [string, () => Learner][] = [
  ["entropy of tokens, by block", () => ({ ...text, method: adamerging, tune: { data: TEXT } })],
  [
    "entropy of tokens, by block, of what an election leaves",
    () => ({
      ...text,
      method: adamerging,
      values: { granularity: "layer", plus: "true", density: "0.6" },
      tune: { data: TEXT },
    }),
  ],
  [
    "divergence from the experts, normalized",
    () => ({
      ...text,
      method: adamerging,
      values: { granularity: "layer", loss: "kd", normalize: "true" },
      tune: { data: TEXT },
    }),
  ],
  [
    "InfoNCE of pairs, shares and scale",
    () => ({
      ...encoders,
      method: selfPosition,
      values: { loss: "infonce" },
      tune: { data: PAIRS, batch: 12, temperature: 0.1 },
    }),
  ],
  ["cross-entropy, shares and scale", () => ({ ...text, method: selfPosition, tune: { data: TEXT } })],
  ["cross-entropy of what pcb keeps", () => ({ ...text, method: pcb, values: { ratio: "0.6" }, tune: { data: TEXT } })],
  ["entropy of classes with heads of their own", () => ({ ...heads, method: adamerging, tune: { data: NUMBERS } })],
  [
    "divergence of classes with heads of their own",
    () => ({ ...heads, method: adamerging, values: { loss: "kd" }, tune: { data: NUMBERS } }),
  ],
];

describe("the gradient of the numbers that are learnt", () => {
  test.each(FORMS)("%s: is that of finite differences", async (_, form) => {
    const run = await learner(gpu, form());
    const at = (await lossesAt(run, [(start) => start]))[0]!;
    const step = 0.01;
    const scale = Math.max(...at.gradient.map(Math.abs));
    expect(scale).toBeGreaterThan(0.01);
    const moves = [...at.gradient.keys()].flatMap((i) =>
      [1, -1, 2, -2].map((by) => (start: Float64Array) => start.with(i, start[i]! + by * step)),
    );
    const losses = (await lossesAt(run, moves)).map(({ loss }) => loss);
    for (const [i, found] of at.gradient.entries()) {
      const [up, down, up2, down2] = losses.slice(4 * i, 4 * i + 4) as [number, number, number, number];
      const wanted = (8 * (up - down) - (up2 - down2)) / (12 * step);
      expect(Math.abs(found - wanted)).toBeLessThan(1e-3 * scale);
    }
  });
});

test("no step leaves task arithmetic at the first weight, and the uniform average", async () => {
  const begun = await tunePlan(await learner(gpu, { ...text, method: adamerging, tune: { steps: 0 } }));
  expect(weightsOf(begun).every((all) => all.join() === "0.3,0.3")).toBe(true);
  const average = await tunePlan(await learner(gpu, { ...text, method: selfPosition, tune: { steps: 0 } }));
  for (const all of weightsOf(average)) for (const one of all) expect(one as number).toBeCloseTo(0.5, 12);
});

test("one model with a fixed scale stays itself", async () => {
  const given = { base: text.base, models: text.models.slice(0, 1) };
  const values = { learn_scale: "false" };
  const tune = { data: TEXT.slice(0, 1), steps: 3 };
  const alone = await tunePlan(await learner(gpu, { ...given, method: selfPosition, values, tune }));
  expect(
    weightsOf(alone)
      .flat()
      .every((one) => one === 1),
  ).toBe(true);
});

test("the loss falls, learning again gives the same numbers, and reading models again in every step does too", async () => {
  const tune = { data: TEXT, steps: 20, rate: 0.02 };
  const layers = { ...text, method: adamerging, values: { granularity: "layer" } };
  const found = await tunePlan(await learner(gpu, { ...layers, tune }));
  for (const { first, last } of Object.values(found.table.loss!)) expect(last).toBeLessThan(first - 0.02);
  expect(Object.keys(found.table.coefficients)).toEqual([
    ...["model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "lm_head"],
  ]);
  expect(found.table.models).toEqual(["m2", "m3"]);
  const again = await tunePlan(await learner(gpu, { ...layers, tune: { ...tune, offload: true } }));
  expect(again.table).toEqual(found.table);
  const file = join(rows.folder, "table.json");
  writeFileSync(file, encodeTable(found.table));
  const read = await tunePlan(await learner(gpu, { ...layers, tune: { table: file } }));
  expect(weightsOf(read)).toEqual(weightsOf(found));
  const inline = JSON.stringify(found.table.coefficients);
  const given = await tunePlan(await learner(gpu, { ...layers, tune: { table: inline } }));
  expect(weightsOf(given)).toEqual(weightsOf(found));
});

test("lambda of pcb stays in the authors' range, and without data as it is given", async () => {
  const tune = { data: TEXT, steps: 4, rate: 5 };
  const { table } = await tunePlan(await learner(gpu, { ...text, method: pcb, tune }));
  expect(table.coefficients.all!.every((lambda) => lambda === 0.8 || lambda === 1.3)).toBe(true);
  const values = { lambda: "0.5,0.7" };
  const begun = await tunePlan(await learner(gpu, { ...text, method: pcb, values, tune: { steps: 0 } }));
  expect(begun.table.coefficients.all).toEqual([0.5, 0.7]);
});

test("blocks below a depth, and what stands before them, keep their first coefficients", async () => {
  const values = { from_depth: "0.5", granularity: "tensor" };
  const tune = { data: TEXT, steps: 2, rate: 0.05 };
  const { plan } = await tunePlan(await learner(gpu, { ...text, method: adamerging, values, tune }));
  const moved = plan.tensors.filter(({ perModel }) => perModel[0]!.weight !== 0.3).map(({ name }) => name);
  expect(moved.some((name) => name.startsWith("model.layers.1."))).toBe(true);
  expect(moved).toContain("lm_head.weight");
  expect(moved.some((name) => /embed|layers\.0/.test(name))).toBe(false);
});

test("heads of their own stay out of the merge; the base's goes with the result", async () => {
  const run = await learner(gpu, { ...heads, method: adamerging, tune: { data: NUMBERS, steps: 2 } });
  const head = run.plan.tensors.find(({ name }) => name === "classifier.weight")!;
  expect([head.kind, ...head.shape]).toEqual(["copy", 2, 6]);
  const { table } = await tunePlan(run);
  expect(Object.keys(table.coefficients)).toEqual([0, 1].flatMap((i) => [`layers.${i}.weight`, `layers.${i}.bias`]));
});

test("the plan of a dry run counts weights, gradients and what stays of the inputs", async () => {
  const dry = await openGpu({ dry: true });
  const run = (offload: boolean) =>
    learner(dry, { ...text, method: adamerging, tune: { data: TEXT, offload } }).then(plannedTuning);
  const size = text.base.tensors.values().reduce((sum, { bytes }) => sum + bytes, 0);
  const [kept, again] = [await run(false), await run(true)];
  for (const [offload, planned] of [
    [false, kept],
    [true, again],
  ] as const) {
    const { gpu: own } = await ownGpu();
    await tunePlan(await learner(own, { ...text, method: adamerging, tune: { data: TEXT, offload, steps: 2 } }));
    expect(planned / own.pool.peak).toBeGreaterThan(0.97);
    expect(planned / own.pool.peak).toBeLessThan(1.15);
    own.close();
  }
  expect(again).toBeGreaterThan(2 * size);
  expect(kept - again).toBeGreaterThan(3 * size);
});

describe("pareto", () => {
  const learnt = async (tune: Learner["tune"]) =>
    (await tunePlan(await learner(gpu, { ...text, method: adamerging, values: { granularity: "task" }, tune }))).table;

  test("of one task twice is the step of that task twice", async () => {
    const [file] = TEXT.map((one) => one.split("=")[1]!);
    const tune = { data: [`a=${file}`, `b=${file}`], batch: 20, steps: 3, rate: 0.02 };
    const [equal, pareto] = [await learnt(tune), await learnt({ ...tune, weights: "pareto" })];
    for (const [k, value] of pareto.coefficients.all!.entries())
      expect(value).toBeCloseTo(equal.coefficients.all![k]!, 4);
  });

  test("follows a guide further than equal weights do", async () => {
    const tune = { data: TEXT, batch: 20, steps: 30, rate: 0.02 };
    const equal = await learnt(tune);
    const guided = await learnt({ ...tune, weights: "pareto", guide: TEXT[0]! });
    expect(guided.loss!.one!.last).toBeLessThan(equal.loss!.one!.last);
  });
});

describe("refused", () => {
  const refusal = async (form: Learner) => tunePlan(await learner(gpu, form)).then(String, (error) => error.message);

  test("without data, or with other tasks than models where each has its own", async () => {
    expect(await refusal({ ...text, method: adamerging, tune: {} })).toBe(
      "adamerging learns its coefficients from data",
    );
    expect(await refusal({ ...heads, method: adamerging, tune: { data: NUMBERS.slice(1) } })).toBe(
      "--tune-data is given once, and there are 2 models",
    );
  });

  test("a guide where tasks have models of their own", async () => {
    const tune = { data: NUMBERS, weights: "pareto", guide: NUMBERS[0]! } as const;
    expect(await refusal({ ...heads, method: adamerging, tune })).toContain("--tune-guide has no model of its own");
  });

  test("rows without a label where labels count", async () => {
    const form = { ...heads, method: adamerging, values: { loss: "ce" }, tune: { data: NUMBERS } };
    expect(await refusal(form)).toContain("label should be a class");
  });

  test("starts that differ in one group, and a depth without tensors", async () => {
    const run = await learner(gpu, { ...text, method: adamerging, tune: { steps: 0 } });
    const [first, ...others] = run.plan.tensors;
    const odd = { ...first!, perModel: first!.perModel.map((one) => ({ ...one, weight: 0.9 })) };
    const values = { granularity: "task" };
    const whole = {
      ...run,
      plan: { ...run.plan, tensors: [odd, ...others].map((t) => ({ ...t, values: { ...t.values, ...values } })) },
    };
    expect(await tunePlan(whole).then(String, (error) => error.message)).toContain("starts at weight 0.3");
  });

  test("a table of another merge", async () => {
    const table = (coefficients: object) => JSON.stringify(coefficients);
    expect(await refusal({ ...text, method: adamerging, tune: { table: table({ all: [1, 2] }) } })).toContain(
      "no coefficients of model.embed_tokens.weight",
    );
    const values = { granularity: "task" };
    expect(await refusal({ ...text, method: adamerging, values, tune: { table: table({ all: [1] }) } })).toContain(
      "expected 2 numbers",
    );
    expect(
      await refusal({ ...text, method: adamerging, values, tune: { table: table({ all: [1, 2], x: [1, 2] }) } }),
    ).toContain("which this merge has no tensor of");
    const file = join(rows.folder, "other.json");
    writeFileSync(file, JSON.stringify({ method: "pcb", coefficients: { all: [1, 2] } }));
    expect(await refusal({ ...text, method: adamerging, values, tune: { table: file } })).toContain(
      "coefficients of pcb",
    );
  });
});

describe("pairs of texts", () => {
  const given = () => ({ ...encoders, method: selfPosition, values: { loss: "infonce" } });

  test("the loss falls, and one model with a fixed scale stays itself", async () => {
    const tune = { data: PAIRS, batch: 12, steps: 12, rate: 0.3, temperature: 0.2 };
    const { table } = await tunePlan(await learner(gpu, { ...given(), tune }));
    const sum = (end: "first" | "last") => Object.values(table.loss!).reduce((all, loss) => all + loss[end], 0);
    expect(sum("last")).toBeLessThan(sum("first"));
    const one = { ...given(), models: encoders.models.slice(0, 1), values: { loss: "infonce", learn_scale: "false" } };
    const alone = await tunePlan(await learner(gpu, { ...one, tune: { ...tune, data: PAIRS.slice(0, 1), steps: 2 } }));
    expect(alone.table.coefficients.all).toEqual([1]);
  });

  test("no step leaves the uniform average", async () => {
    const { table } = await tunePlan(await learner(gpu, { ...given(), tune: { data: PAIRS, steps: 0 } }));
    for (const share of table.coefficients.all!) expect(share).toBeCloseTo(0.5, 12);
  });

  test("a temperature without them is refused, and so are rows that are none", async () => {
    const text = await learner(gpu, { ...given(), values: {}, tune: { data: PAIRS, steps: 1, temperature: 0.1 } });
    expect(tunePlan(text)).rejects.toThrow("--tune-temperature has no effect on --loss ce");
    const numbers = await learner(gpu, { ...given(), tune: { data: NUMBERS, steps: 1 } });
    expect(tunePlan(numbers)).rejects.toThrow("expected a pair of texts");
  });
});
