/** What an adapter adds where it is to add nothing: the mask, the loss, its gradient, and what training makes of it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate, type TokenBatch } from "../../../src/data/batch.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import { sequenceBatches } from "../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { incrementMask, maskedTokens } from "../../../src/run/training/increment-mask.ts";
import { promptCourse } from "../../../src/run/training/prompt-course.ts";
import { promptDropped, withoutPrompt } from "../../../src/run/training/prompt-drop.ts";
import { promptShuffled, withPromptOf } from "../../../src/run/training/prompt-shuffle.ts";
import { trainModel } from "../../../src/run/training/train-model.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { withPromptsChanged } from "../../../src/train/batches/increments.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

/** A row of which the tokens from `answer` on count. */
const row = (ids: readonly number[], answer: number, group = 0): Sequence => ({
  ids: Int32Array.from(ids),
  labels: Int32Array.from(ids, (id, i) => (i < answer ? -100 : id)),
  group,
  place: ids.join(),
});
const ROWS = [row([1, 5, 7, 2, 9, 36], 4), row([4, 8, 15, 16], 2), row([3, 3, 12, 30, 11], 3), row([6, 2, 40], 1)];
const BATCH = collate([[ROWS[0]!], [ROWS[1]!]], { buckets: "none" });

async function adapted(type = "lora", seed = 4): Promise<Model> {
  const chosen = { type: bindDefaults(await loadMethod("adapter", type)), seed: 1 };
  return Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed, adapter: chosen });
}

async function shake(model: Model): Promise<void> {
  for (const [i, parameter] of model.trainable().entries()) {
    const noise = normals(i, parameter.size, 0.1);
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    parameter.write(values.map((x, at) => x + noise[at]!));
  }
}

test("prompts are masked but for the token that answers begin after; of some groups everything; padding never", () => {
  expect([...maskedTokens(BATCH, new Set())]).toEqual([1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
  const packed = collate([[ROWS[1]!, { ...ROWS[3]!, group: 1 }]], { buckets: "none" });
  expect([...maskedTokens(packed, new Set([1]))]).toEqual([1, 0, 0, 0, 1, 1, 1]);
});

/** The loss and its parts, the increments, and the gradients. */
async function measured(model: Model, recompute: boolean) {
  const objective = crossEntropyObjective(model, { increments: incrementMask(0.7), recompute });
  const rec = new Recorder(profileOf(gpu));
  const recorded = objective.record(rec, BATCH, "");
  for (const [name, metric] of Object.entries(recorded.metrics)) rec.output(name, metric);
  rec.backward(recorded.backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, objective.counted(BATCH, ""), "");
  program.run({ accumulate: 0 });
  const read = async (name: string) => (await program.read(name))[0]!;
  const found = { loss: await read("loss"), own: await read("increment_loss") };
  const gradients = [];
  for (const { gradient, size } of model.trainable()) gradients.push(await gpu.readFloats(gradient, size));
  program.free();
  return { ...found, gradients };
}

/** 0.7 times the sum over layers of the mean square of what the adapter adds at masked tokens, from its outputs. */
async function expected(model: Model): Promise<number> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const ids = rec.input("ids", [12], "i32");
  const positions = rec.input("positions", [12], "i32");
  const { increments } = model.record(rec, { batch: 2, length: 6, ids, positions }, { increments: true });
  for (const [module, delta] of increments) rec.output(module, delta);
  const program = await Program.compile(gpu, rec);
  program.write("ids", BATCH.ids);
  program.write("positions", BATCH.positions);
  program.run();
  let sum = 0;
  for (const module of increments.keys()) {
    const delta = await program.read(module);
    const width = delta.length / 12;
    const masked = [0, 1, 2, 6].flatMap((i) => [...delta.subarray(i * width, (i + 1) * width)]);
    sum += masked.reduce((a, x) => a + x * x, 0) / masked.length;
  }
  expect(increments.size).toBe(14);
  program.free();
  return 0.7 * sum;
}

test.each(["lora", "ia3"])("%s: the loss, its gradient, and both when activations are made again", async (type) => {
  const model = await adapted(type);
  await shake(model);
  const { loss, own, gradients } = await measured(model, false);
  if (type === "lora") expect(own).toBeCloseTo(await expected(model), 6);
  expect(own).toBeGreaterThan(0);
  const again = await measured(model, true);
  expect(again.loss).toBeCloseTo(loss, 5);
  for (const [i, gradient] of gradients.entries())
    for (const [at, g] of gradient.entries()) expect(again.gradients[i]![at]!).toBeCloseTo(g, 4);
  for (const [i, parameter] of model.trainable().entries()) {
    if (i % 5 !== 0) continue;
    const length = Math.hypot(...gradients[i]!);
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const at = async (h: number) => {
      parameter.write(values.map((x, j) => x + (h * gradients[i]![j]!) / length));
      return (await measured(model, false)).loss;
    };
    const step = Math.min(0.03, 0.003 / length);
    const slope = ((await at(step)) - (await at(-step))) / (2 * step);
    parameter.write(values);
    expect(Math.abs(slope - length) / Math.max(length, 0.02)).toBeLessThan(0.02);
  }
  model.free();
});

async function taught(rows: readonly Sequence[], weight: number | undefined, groups?: ReadonlySet<number>) {
  const model = await adapted();
  const count = Math.max(...rows.map(({ group }) => group)) + 1;
  const names = Array.from({ length: count }, (_, group) => {
    const own = rows.filter((one) => one.group === group);
    const lengths = Int32Array.from(own, ({ ids }) => ids.length);
    const tokens = lengths.reduce((a, b) => a + b, 0);
    return { name: `${group}`, rows: own.length, sequences: own.length, tokens, counted: tokens, lengths };
  });
  const increments = weight === undefined ? undefined : incrementMask(weight, groups);
  const { last } = await trainModel<TokenBatch>({
    model,
    source: sequenceBatches({ sequences: rows, groups: names }, { batchSize: rows.length, seed: 0 }),
    objective: crossEntropyObjective(model, { increments }),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { weight_decay: 0 }),
    rate: () => 0.01,
    steps: 60,
    seed: 0,
    signal: new AbortController().signal,
    name: "rows",
    advice: "lower the rate",
  });
  return { model, loss: last!.metrics.loss! - (last!.metrics.increment_loss ?? 0) };
}

test("where all tokens count the adapter learns what it learns without the mask", async () => {
  const whole = ROWS.map(({ ids }) => row([...ids], 0));
  const [plain, masked] = [await taught(whole, undefined), await taught(whole, 1000)];
  const batch = collate([[whole[0]!]], { buckets: "none" });
  expect(await logitsOf(gpu, masked.model, batch)).toEqual(await logitsOf(gpu, plain.model, batch));
  plain.model.free();
  masked.model.free();
});

test("a large weight leaves retained rows as the base has them, at nearly the loss of the task", async () => {
  const base = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  const retained = [row([20, 21, 22, 23, 24], 0, 1), row([30, 31, 32, 33], 0, 1)];
  const mask = retained.map((one) => ({ ...one, labels: new Int32Array(one.ids.length).fill(-100) }));
  const rows = [...ROWS.slice(0, 2), ...mask];
  const batch = collate(
    retained.map((one) => [one]),
    { buckets: "none" },
  );
  const before = await logitsOf(gpu, base, batch);
  const apart = async (model: Model) => {
    const after = await logitsOf(gpu, model, batch);
    return Math.sqrt(after.reduce((sum, x, i) => sum + (x - before[i]!) ** 2, 0) / after.length);
  };
  const free = await taught(rows, undefined);
  const held = await taught(rows, 30, new Set([1]));
  expect(free.loss).toBeLessThan(0.2);
  expect(held.loss).toBeLessThan(0.5);
  expect(await apart(held.model)).toBeLessThan((await apart(free.model)) / 3);
  for (const model of [base, free.model, held.model]) model.free();
});

test("without its prompt a row keeps its first token and its answer; the chance decides how often", async () => {
  const cut = withoutPrompt(ROWS[0]!);
  expect([[...cut.ids], [...cut.labels]]).toEqual([
    [1, 9, 36],
    [-100, 9, 36],
  ]);
  expect(withoutPrompt(ROWS[3]!)).toBe(ROWS[3]!);
  const marked = withoutPrompt({ ...ROWS[0]!, marks: Int32Array.of(1, 2, 3, 4, 5, 6) });
  expect([...marked.marks!]).toEqual([1, 5, 6]);
  const rows = Array.from({ length: 400 }, (_, i) => row([1, 2, i % 50, 3, 4], 3));
  const placed = rows.map((one, i) => ({ ...one, place: `${i}` }));
  const lengths = new Int32Array(400).fill(5);
  const group = { name: "rows", rows: 400, sequences: 400, tokens: 2000, counted: 800, lengths };
  const make = (seed: number) =>
    promptDropped(
      sequenceBatches({ sequences: placed, groups: [group] }, { batchSize: 400, seed: 0, shuffle: false }),
      { chance: 0.25, seed, pad: 0 },
    );
  const source = make(0);
  const dropped = async (from: typeof source) =>
    (await from.next()).batch.lengths.map((length) => (length === 3 ? 1 : 0));
  const [first, second] = [await dropped(source), await dropped(source)];
  const count = first.reduce((a, b) => a + b, 0);
  expect(count > 70 && count < 130).toBe(true);
  expect([...second]).not.toEqual([...first]);
  expect([...(await dropped(make(0)))]).toEqual([...first]);
  expect([...(await dropped(make(1)))]).not.toEqual([...first]);
});

test("the share of changed prompts falls and their weight grows in a line, wherever a run goes on", async () => {
  const even = promptCourse({ steps: 9, accumulate: 2 });
  expect([0, 5, 40].map((place) => [even.share(place), even.weight(place)])).toEqual(
    [1, 1, 1].map((one) => [one, one]),
  );
  const course = promptCourse({ steps: 9, accumulate: 2, until: 0.5, weight: 3 });
  const at = (step: number) => [course.share(2 * step), course.share(2 * step + 1), course.weight(2 * step)];
  expect(at(0)).toEqual([1, 1, 1]);
  expect(at(2)[0]).toBeCloseTo(1 - 2 / 4.5, 12);
  expect(at(2)[1]).toBe(at(2)[0]!);
  expect(at(4)[2]).toBe(2);
  expect([at(5)[0], at(8)[2]]).toEqual([0, 3]);

  const rows = Array.from({ length: 300 }, (_, i) => ({ ...row([1, 2, i % 50, 3, 4], 3), place: `${i}` }));
  const group = {
    ...{ name: "rows", rows: 300, sequences: 300, tokens: 1500, counted: 600, lengths: new Int32Array(300).fill(5) },
  };
  const make = () => {
    const plain = sequenceBatches({ sequences: rows, groups: [group] }, { batchSize: 100, seed: 0, shuffle: false });
    const six = promptCourse({ steps: 6, accumulate: 1, until: 1, weight: 2 });
    const common = { chance: 0.6, seed: 3, pad: 0, course: six };
    return promptDropped(promptShuffled(plain as typeof plain & { data: { sequences: typeof rows } }, common), common);
  };
  const source = make();
  const seen: { dropped: number; weights: number[] }[] = [];
  const tell = async (from: typeof source) => {
    const { batch } = await from.next();
    const changed = batch.documents.filter(({ sequence }) => sequence.ids.length === 3);
    const weights = batch.documents.map(({ sequence }) => sequence.weight ?? 1);
    return { dropped: changed.length, weights: [...new Set(weights)].sort() };
  };
  const states = [];
  for (let step = 0; step < 6; step++) {
    states.push(source.state());
    seen.push(await tell(source));
  }
  for (const [step, { dropped, weights }] of seen.entries()) {
    const expected = 100 * 0.6 * (1 - step / 6);
    expect(Math.abs(dropped - expected)).toBeLessThan(16);
    expect(weights.at(-1)).toBeCloseTo(1 + step / 5, 12);
    expect(weights.length).toBe(step === 0 ? 1 : 2);
  }
  const resumed = make();
  resumed.load(states[4]!, "a state");
  expect(await tell(resumed)).toEqual(seen[4]!);
});

test("a row that weighs twice counts twice in the loss and in its gradient", async () => {
  const model = await adapted();
  await shake(model);
  const lossOf = async (weight: number, other: number) => {
    const batch = collate([[{ ...ROWS[0]!, weight }], [{ ...ROWS[1]!, weight: other }]], { buckets: "none" });
    const objective = crossEntropyObjective(model);
    const rec = new Recorder(profileOf(gpu));
    const recorded = objective.record(rec, batch, "");
    rec.output("loss", recorded.metrics.loss!);
    rec.backward(recorded.backward);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0 });
    const [first] = model.trainable().slice(-1);
    const found = [(await program.read("loss"))[0]!, ...(await gpu.readFloats(first!.gradient, first!.size))];
    program.free();
    return found;
  };
  const [one, other, both] = [await lossOf(1, 0), await lossOf(0, 1), await lossOf(2, 1)];
  for (const [i, value] of both.entries()) expect(value).toBeCloseTo(2 * one[i]! + other[i]!, 4);
  expect(Math.hypot(...one.slice(1))).toBeGreaterThan(1e-4);
  model.free();
});

test("rows without a prompt, whose prompts would not change, are refused", () => {
  const sourceOf = (rows: readonly Sequence[]) => {
    const lengths = Int32Array.from(rows, ({ ids }) => ids.length);
    const group = { name: "rows", rows: rows.length, sequences: rows.length, tokens: 9, counted: 9, lengths };
    return sequenceBatches({ sequences: rows, groups: [group] }, { batchSize: 1, seed: 0, shuffle: false });
  };
  const asked = {
    ...{ increment_mask: undefined, increment_groups: undefined, prompt_drop: 0, prompt_shuffle: 0.5 },
    ...{ prompt_until: undefined, prompt_weight: undefined },
  };
  const seeded = { seed: 0, pad: 0, steps: 1, accumulate: 1 };
  const texts = sourceOf([row([6, 2, 40], 0)]);
  expect(() => withPromptsChanged(texts, asked, seeded)).toThrow("--prompt-shuffle changes the prompts of rows");
  const dropping = { ...asked, prompt_drop: 0.5, prompt_shuffle: 0 };
  expect(() => withPromptsChanged(texts, dropping, seeded)).toThrow("--prompt-drop changes the prompts of rows");
  expect(withPromptsChanged(sourceOf(ROWS), asked, seeded).source).toBeDefined();
});

test("a row may have the prompt of another row of its group, and no other; too long ones stay", async () => {
  const own = row([1, 5, 7, 2, 9, 36], 4);
  const made = withPromptOf(own, row([4, 8, 15, 16], 2))!;
  expect([[...made.ids], [...made.labels]]).toEqual([
    [4, 8, 9, 36],
    [-100, -100, 9, 36],
  ]);
  const marked = { ...own, marks: Int32Array.of(1, 2, 3, 4, 5, 6) };
  expect([...withPromptOf(marked, row([4, 8, 15, 16], 2))!.marks!]).toEqual([0, 0, 5, 6]);
  expect([...withPromptOf(row([4, 8, 15, 16], 2), marked)!.marks!]).toEqual([1, 2, 3, 4, 0, 0]);
  const all = row([6, 2, 40], 0); // every token counts
  expect([withPromptOf(all, own), withPromptOf(own, all)]).toEqual([undefined, undefined]);
  // Prompts tell their group: 10 and 11 are of the first one, 20 and 21 of the second; the prompt of 11 is longer.
  const rows = [row([10, 1], 1, 0), row([11, 11, 11, 2], 3, 0), row([20, 3], 1, 1), row([21, 4], 1, 1)].map(
    (one, i) => ({
      ...{ ...one, place: `${i}` },
    }),
  );
  const lengths = Int32Array.from(rows, ({ ids }) => ids.length);
  const group = (name: string, from: number, end: number) => ({
    ...{ name, rows: 2, sequences: 2, tokens: 4, counted: 2, lengths: lengths.subarray(from, end) },
  });
  const source = () =>
    sequenceBatches(
      { sequences: rows, groups: [group("a", 0, 2), group("b", 2, 4)] },
      { batchSize: 4, seed: 0, shuffle: false },
    );
  const shuffled = promptShuffled(source(), { chance: 1, seed: 1, pad: 0 });
  const seen = new Set<string>();
  for (let i = 0; i < 12; i++) {
    const { batch } = await shuffled.next();
    for (const { sequence } of batch.documents) seen.add([...sequence.ids].join(" "));
  }
  // 11's prompt before 1 has four tokens, as many as the longest; each answer keeps to its group.
  expect([...seen].sort()).toEqual(["10 1", "10 2", "11 11 11 1", "11 11 11 2", "20 3", "20 4", "21 3", "21 4"].sort());
  const never = promptShuffled(source(), { chance: 0, seed: 1, pad: 0 });
  const { batch } = await never.next();
  expect(batch.documents.map(({ sequence }) => [...sequence.ids])).toEqual(rows.map(({ ids }) => [...ids]));
});
