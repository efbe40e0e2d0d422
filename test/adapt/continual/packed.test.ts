/** Old rows among new ones that are packed, and dry runs that plan every stage. */
import { afterAll, expect, test } from "bun:test";
import { StreamRows } from "../../../src/adapt/continual/rows.ts";
import { NEW, stageSource } from "../../../src/adapt/continual/source.ts";
import type { TokenBatch } from "../../../src/data/batch.ts";
import { dataOf } from "../../support/checkpoint-values.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";
import { StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

/** Rows of 2 to 6 tokens, which tell task and row. */
const textRows = (task: number, count: number) =>
  Array.from({ length: count }, (_, row) =>
    Array.from({ length: 2 + ((row * 3 + task) % 5) }, (_, i) => (7 * task + row + i) % 40),
  );

const [PACK, SIZE] = [10, 2];
const rows = new StreamRows(
  [9, 11].map((count, task) => ({
    kind: "text",
    pad: 0,
    rows: textRows(task, count).map((ids, row) => {
      const own = Int32Array.from(ids);
      return { ids: own, labels: own, group: task, place: `${task}:${row}` };
    }),
  })),
);
const order = { batchSize: SIZE, seed: 3, pack: PACK };
const [old, fresh] = [rows.of([0]), rows.of([1])];
const from = [...old, old[0]!, old[1]!];
const mix = {
  ...{ perPass: 4, from },
  draw: (epoch: number) => Array.from({ length: 4 }, (_, i) => from[(4 * epoch + i) % from.length]!),
};
const options = { name: "b", rows, fresh, order, mix };

/** The places of the sequences of each batch. */
const placesOf = (batch: TokenBatch) => {
  const bins: string[][] = Array.from({ length: batch.rows }, () => []);
  for (const { sequence, row } of batch.documents) bins[row]!.push(sequence.place);
  return bins;
};

test("a pass has every new row once and its share of old ones, in rows of at most so many tokens", async () => {
  const source = stageSource(options);
  const seen: string[][] = [[], [], [], []];
  for (let b = 0; b < 4 * source.batchesPerEpoch && seen[3]!.length === 0; b++) {
    const { batch, epoch } = await source.next();
    const tokens = batch[NEW]!.batch as TokenBatch;
    expect(tokens.rows).toBeLessThanOrEqual(SIZE);
    for (const length of tokens.lengths) expect(length).toBeLessThanOrEqual(PACK);
    seen[epoch]!.push(...placesOf(tokens).flat());
  }
  for (const [epoch, places] of seen.slice(0, 3).entries()) {
    const olds = mix.draw(epoch).map(({ task, row }) => `${task}:${row}`);
    expect(places.toSorted()).toEqual([...fresh.map(({ task, row }) => `${task}:${row}`), ...olds].toSorted());
  }
});

test("some rows hold old and new sequences, and more than one", async () => {
  const source = stageSource(options);
  const bins: string[][] = [];
  for (let b = 0; b < source.batchesPerEpoch; b++)
    bins.push(...placesOf((await source.next()).batch[NEW]!.batch as TokenBatch));
  expect(bins.some((bin) => bin.some((place) => place[0] === "0") && bin.some((place) => place[0] === "1"))).toBe(true);
  expect(bins.length).toBeLessThan(15);
});

test("the order goes on from any state, and from no other settings", async () => {
  const told = async (source: ReturnType<typeof stageSource>, count: number) => {
    const found = [];
    for (let i = 0; i < count; i++) found.push(placesOf((await source.next()).batch[NEW]!.batch as TokenBatch));
    return found;
  };
  const all = await told(stageSource(options), 12);
  for (const cut of [1, 4, 5, 9]) {
    const first = stageSource(options);
    await told(first, cut);
    const second = stageSource(options);
    second.load(JSON.parse(JSON.stringify(first.state())), "state");
    expect(await told(second, 12 - cut)).toEqual(all.slice(cut));
  }
  const state = stageSource(options).state();
  const unpacked = stageSource({ ...options, order: { batchSize: SIZE, seed: 3 } });
  expect(() => unpacked.load(state, "state")).toThrow("was saved with another packing");
  expect(() => stageSource(options).load({ made_with: {} }, "state")).toThrow("which batch comes next");
});

test("replay with --pack resumes to the same bytes, and a dry run plans every task", async () => {
  for (const [task, name] of ["a", "b", "c"].entries())
    lab.write(
      `${name}.jsonl`,
      textRows(task, 12).map((input_ids) => ({ input_ids })),
    );
  lab.json("net.json", TINY_TEXT.llama);
  const line = "--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl --method er --buffer 8 --replay-ratio 0.4";
  const packed = `${line} --pack --max-length 12 --batch-size 2 --epochs 1 --save-every 2`;
  const whole = await lab.run(`${packed} -o @whole`);
  await lab.run(`${packed} -o @cut --resume`, { task: "b", step: 3 });
  expect((await lab.run(`${packed} -o @cut --resume`)).json).toEqual(whole.json);
  expect(dataOf(lab.bytes("cut/model.safetensors"))).toEqual(dataOf(lab.bytes("whole/model.safetensors")));
  const planned = await lab.run(`${packed} --dry-run -o @none`);
  expect(planned.json.stages.map(({ name }: { name: string }) => name)).toEqual(["a", "b", "c"]);
  for (const { steps, memory } of planned.json.stages) {
    expect(steps).toBeGreaterThan(0);
    expect(memory.total).toBeGreaterThan(0);
  }
  const steps = planned.json.stages.reduce((sum: number, stage: { steps: number }) => sum + stage.steps, 0);
  expect(whole.json.steps).toBe(steps);
}, 120_000);
