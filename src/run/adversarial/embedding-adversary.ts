/**
 * Adversarial training of texts: what the first block reads of every token, its embedding, is moved within a ball so
 * that the loss grows. Miyato, Dai and Goodfellow, ICLR 2017, https://arxiv.org/abs/1605.07725; by projected gradient
 * ascent from a random place, as Zhu et al., ICLR 2020, https://arxiv.org/abs/1909.11764
 *
 * The ball of norm l2 is about all embeddings of a row together, as the papers have it; that of linf about each number.
 * Where a move begins is a function of the seed, the epoch and the row.
 */
import { type Batch, batchKey, isPairs, isTokens } from "../../data/batch.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import type { BatchSource } from "../training/batch-source.ts";
import { FIRST } from "../training/mixed-embeddings.ts";
import { MOVES } from "../training/moved-embeddings.ts";
import { type Attack, recordAscent, startOf } from "./adversary.ts";

interface Recorded {
  readonly held: PooledBuffer;
  readonly size: number;
}

/** Where the rows of a batch are from. */
const rowNames = (batch: Batch): string[] =>
  Array.from({ length: batch.rows }, (_, row) => {
    if (!isTokens(batch)) return batch.places[row] ?? `${row}`;
    return batch.documents.find((document) => document.row === row)?.sequence.place ?? `${row}`;
  });

export class EmbeddingAdversary {
  readonly #model: Model;
  readonly #gpu: Gpu;
  readonly #attack: Attack;
  readonly #programs: Programs<Recorded>;
  readonly #held: PooledBuffer[] = [];

  /** The range of the attack is not looked at: embeddings have none. */
  constructor(model: Model, attack: Omit<Attack, "range">) {
    this.#model = model;
    this.#gpu = model.gpu;
    this.#attack = { ...attack, range: [-Number.MAX_VALUE, Number.MAX_VALUE] };
    this.#programs = new Programs(model.gpu, { toInputs: true });
  }

  #record(rec: Recorder, batch: Batch): Recorded {
    let made: { readonly moves: Tensor; readonly held: PooledBuffer } | undefined;
    const replace = (name: string, x: Tensor): Tensor => {
      if (name !== FIRST) return x;
      const held = this.#gpu.buffer(Math.max(16, 4 * sizeOf(x.shape)), MOVES);
      this.#held.push(held);
      const moves = rec.watched(rec.state(MOVES, x.shape, held.buffer));
      made = { moves, held };
      return add(rec, x, moves);
    };
    const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch), { replace });
    if (!made) throw new Error(`the architecture notes no ${FIRST}`);
    const { moves, held } = made;
    const size = sizeOf(moves.shape);
    const nll = headLoss(rec, { hidden, head, width: this.#model.sizes.outputs, targets: recordTargets(rec, batch) });
    const n = sizeOf(nll.shape);
    rec.backward([[nll, rec.constant(new Float32Array(n).fill(1), [n], "ones")]]);
    const gradient = rec.incoming(moves);
    const x0 = rec.constant(new Float32Array(size), moves.shape, "no move");
    if (gradient) recordAscent(rec, this.#attack, { gradient, x0, x: moves }, batch.rows);
    return { held, size };
  }

  /** Takes the memory that batches of this shape need. */
  async prepare(batch: Batch): Promise<void> {
    await this.#programs.get(batchKey(batch), (rec) => this.#record(rec, batch));
  }

  /** What is added to the embeddings of a batch's rows, (N, C), of the first `rows` of them. */
  async moves(batch: Batch, round: number, rows: number): Promise<Float32Array> {
    const { program, recorded } = await this.#programs.get(batchKey(batch), (rec) => this.#record(rec, batch));
    const { held, size } = recorded;
    const { epsilon, randomStart, steps } = this.#attack;
    const each = size / batch.rows;
    const begun = new Float32Array(size);
    if (randomStart)
      for (const [row, name] of rowNames(batch).entries())
        for (const [i, d] of startOf(this.#attack, each, `${round} ${name}`).entries())
          begun[row * each + i] = epsilon * d;
    this.#gpu.write(held.buffer, 0, new Uint8Array(begun.buffer));
    fillInputs(program, batch);
    fillTargets(program, batch);
    for (let step = 0; step < steps; step++) program.run({ seed: 0 });
    return (await this.#gpu.readFloats(held.buffer, size)).fill(0, rows * each);
  }

  /** Bytes on the GPU. */
  get bytes(): number {
    const held = this.#held.reduce((sum, { bytes }) => sum + bytes, 0);
    return held + this.#programs.ownBytes + this.#programs.slots.bytes;
  }

  free(): void {
    this.#programs.free();
    for (const held of this.#held.splice(0)) held.free();
  }
}

/** The batches of `source` with moves of the embeddings of a share of their rows. Throws TypeError for pairs. */
export function movedTexts<B extends Batch>(
  source: BatchSource<B>,
  adversary: EmbeddingAdversary,
  share: number,
): BatchSource<Batch> {
  return {
    groups: source.groups,
    batchesPerEpoch: source.batchesPerEpoch,
    largest: () => source.largest(),
    async next() {
      const { batch, epoch, ...drawn } = await source.next();
      if (!isTokens(batch) && isPairs(batch)) throw new TypeError("pairs of texts are not moved");
      const moves = await adversary.moves(batch, epoch, Math.ceil(share * batch.rows));
      return { ...drawn, epoch, batch: { ...batch, moves } };
    },
    state: () => source.state(),
    load: (state, what) => source.load(state, what),
  };
}
