/** Sides and magnitudes of EfficientTrain over a training, and what it makes of the rows of a batch. */
import { expect, test } from "bun:test";
import type { ImageSides } from "../../src/curriculum/contract.ts";
import { imageView } from "../../src/curriculum/image-view.ts";
import { method } from "../../src/curriculum/methods/orderings/efficienttrain.ts";
import { OrderedSource, rowsOf } from "../../src/curriculum/source.ts";
import type { Example } from "../../src/data/examples.ts";
import { Random } from "../../src/data/random.ts";
import { bindDefaults } from "../../src/method/bind.ts";

const VIT: ImageSides = { full: 224, multiple: 16, least: 16 };
const looksOf = (values: Record<string, unknown>, sides = VIT) =>
  method.images!(sides, bindDefaults(method, values).values);

test("160, 192 and 224 over 0.6, 0.2 and 0.2 of the steps, and a magnitude that rises to 9", () => {
  const at = looksOf({});
  expect([0, 0.59, 0.6, 0.79, 0.8, 1].map((done) => at(done).side)).toEqual([160, 160, 192, 192, 224, 224]);
  expect([0, 0.5, 1].map((done) => at(done).amount)).toEqual([0, 0.45, 0.9]);
  expect(looksOf({ rising: "no" })(0.2).amount).toBe(0.9);
});

test("++: ten stages that cost alike, and a magnitude for each", () => {
  const at = looksOf({ equal_compute: true });
  const steps = Array.from({ length: 10_000 }, (_, i) => at(i / 10_000));
  const costs = new Map<number, number>();
  for (const { side, amount } of steps) costs.set(amount, (costs.get(amount) ?? 0) + side ** 2);
  expect([...costs.keys()].map((amount) => Math.round(10 * amount))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  for (const cost of costs.values()) expect(Math.abs(cost / [...costs.values()][0]! - 1)).toBeLessThan(0.02);
  expect(new Set(steps.map(({ side }) => side))).toEqual(new Set([96, 160, 192, 224]));
});

test("refuses sides that the model does not take, and shares that do not fit", () => {
  expect(() => looksOf({ image_sides: [100, 224] })).toThrow("100 is no side from 16 to 224 in steps of 16");
  expect(() => looksOf({ image_sides: [96, 224] })).toThrow("are of 3 stages, and 2 have sides");
  expect(() => looksOf({ stage_shares: [0.6, 0.2, 0.3] })).toThrow("should be at least 0 and sum to 1");
});

const random = new Random("rows");
const rows: Example[] = Array.from({ length: 3 }, (_, i) => ({
  ...{ x: Float32Array.from({ length: 2 * 64 }, () => random.normal()), shape: [2, 8, 8] },
  ...{ label: i, group: 0, place: `row ${i}` },
}));
const viewOf = (values: Record<string, unknown>, example: number[] = [2, 8, 8], seed = 1) =>
  imageView({
    ordering: bindDefaults(method, values),
    sizes: { layers: 1, width: 4, outputs: 3, maxPositions: 0, example, sides: { multiple: 2, least: 2 } },
    ref: "tiny",
    batches: 10,
    seed,
    context: { log: { run: "", start() {}, event() {} } },
  })!;

test("with the full side and no magnitude rows stay as they are: ordinary training", () => {
  const view = viewOf({ image_sides: [8], stage_shares: [1], magnitude: 0 });
  for (const [i, row] of view(rows, 3).entries()) {
    expect(row).toEqual(rows[i]!);
    if ("x" in row && "x" in rows[i]!) expect(row.x).toBe(rows[i]!.x);
  }
});

test("rows get smaller, are augmented by batch and seed, and keep labels", () => {
  const given = { image_sides: [4, 8], stage_shares: [0.5, 0.5] };
  const shapes = (batch: number) => viewOf(given)(rows, batch).map((row) => ("x" in row ? row.shape : []));
  expect([shapes(0)[0], shapes(4)[2], shapes(5)[1]]).toEqual([
    [2, 4, 4],
    [2, 4, 4],
    [2, 8, 8],
  ]);
  expect(viewOf(given)(rows, 7)).toEqual(viewOf(given)(rows, 7));
  expect(viewOf(given)(rows, 7)).not.toEqual(viewOf(given, [2, 8, 8], 2)(rows, 7));
  expect(viewOf(given)(rows, 7).map(({ label }) => label)).toEqual([0, 1, 2]);
  expect(() => viewOf(given, [2, 8, 6])).toThrow("tiny takes none of another size");
});

test("a source that resumes gives the same images, which are others in a later batch", async () => {
  const given = { image_sides: [4, 8], stage_shares: [0.5, 0.5] };
  const opened = () => {
    const source = new OrderedSource(rowsOf(["all"], rows, 0), { batchSize: 2, seed: 1 });
    source.follow(async () => Uint32Array.of(0, 1, 2), viewOf(given));
    return source;
  };
  const whole = opened();
  const seen: Awaited<ReturnType<typeof whole.next>>[] = [];
  for (let i = 0; i < 7; i++) seen.push(await whole.next());
  const cut = opened();
  for (let i = 0; i < 5; i++) await cut.next();
  const resumed = opened();
  resumed.load(cut.state(), "state");
  expect([await resumed.next(), await resumed.next()]).toEqual(seen.slice(5));
  const [first, again] = [seen[4]!, seen[6]!].map(({ batch: { batch } }) => ("x" in batch ? batch.x : undefined));
  expect([first!.length, again!.length]).toEqual([2 * 32, 2 * 128]);
});
