/** Texts whose embeddings are moved: the ball, the loss, and what a training reads of the moves. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import { EmbeddingAdversary } from "../../../src/run/adversarial/embedding-adversary.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const WIDTH = Number(TINY_TEXT.llama!.hidden_size);
const IDS = [
  [1, 5, 7, 2, 9],
  [4, 8, 15],
];
const batchOf = (rows: readonly (readonly number[])[]) =>
  collate(
    rows.map((ids) => [
      { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: `row of ${ids.join()}` },
    ]),
    { buckets: "none" },
  );
const BATCH = batchOf(IDS);
const ATTACK = { norm: "linf", epsilon: 0.05, steps: 6, stepSize: 0.02, randomStart: true, seed: 1 } as const;

async function movesOf(model: Model, attack: object = {}, rows = 2, batch = BATCH): Promise<Float32Array> {
  const adversary = new EmbeddingAdversary(model, { ...ATTACK, ...attack });
  await adversary.prepare(batch);
  const moves = await adversary.moves(batch, 0, rows);
  expect(adversary.bytes).toBeGreaterThan(4 * moves.length);
  adversary.free();
  return moves;
}

/** The loss that a training sees of a batch, with moves or without. */
async function lossOf(model: Model, moves?: Float32Array): Promise<number> {
  const objective = crossEntropyObjective(model, { moved: true });
  const batch = moves ? { ...BATCH, moves } : BATCH;
  const rec = new Recorder(profileOf(gpu), { training: false });
  rec.output("loss", objective.record(rec, batch, "").metrics.loss!);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, batch.counted, "");
  program.run();
  const [loss] = await program.read("loss");
  program.free();
  return loss!;
}

test("moves stay within their ball, and the loss grows with each more than by chance", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  const plain = await lossOf(model);
  expect(await lossOf(model, new Float32Array(2 * 5 * WIDTH))).toBe(plain);
  const box = await movesOf(model);
  for (const move of box) expect(Math.abs(move)).toBeLessThanOrEqual(0.05 + 1e-6);
  const begun = await movesOf(model, { stepSize: 1e-9 });
  expect(await lossOf(model, box)).toBeGreaterThan(plain + 5 * Math.abs((await lossOf(model, begun)) - plain));
  const ball = await movesOf(model, { norm: "l2", epsilon: 0.3, stepSize: 0.1 });
  for (const row of [0, 1])
    expect(Math.hypot(...ball.subarray(row * 5 * WIDTH, (row + 1) * 5 * WIDTH))).toBeLessThanOrEqual(0.3 + 1e-5);
  expect(await lossOf(model, ball)).toBeGreaterThan(plain);
  model.free();
});

test("a row's move is a function of seed, epoch and row; rows beyond the share stay", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  const both = await movesOf(model);
  const turned = await movesOf(model, {}, 2, batchOf([IDS[1]!, IDS[0]!]));
  const row = (moves: Float32Array, at: number, tokens: number) => [
    ...moves.subarray(at * 5 * WIDTH, (at * 5 + tokens) * WIDTH),
  ];
  for (const [i, move] of row(turned, 1, 5).entries()) expect(move).toBeCloseTo(row(both, 0, 5)[i]!, 5);
  for (const [i, move] of row(turned, 0, 3).entries()) expect(move).toBeCloseTo(row(both, 1, 3)[i]!, 5);
  expect([...(await movesOf(model, { seed: 2, stepSize: 1e-9 }))]).not.toEqual([
    ...(await movesOf(model, { stepSize: 1e-9 })),
  ]);
  const first = await movesOf(model, {}, 1);
  expect(row(first, 0, 5)).toEqual(row(both, 0, 5));
  expect(row(first, 1, 5).every((move) => move === 0)).toBe(true);
  model.free();
});
