/**
 * Runs a language model on corrupted prompts in which some inner values are set back to what they are in the clean run.
 * Meng et al., NeurIPS 2022, https://arxiv.org/abs/2202.05262, section 2.1.
 *
 * Clean, corrupted and restored runs are rows of one batch, so that restoring copies between rows: values of row 0 take
 * the place of those of another row at the same token. What is restored everywhere is therefore the clean run to the
 * bit.
 */

import { decodeFloats } from "../../checkpoint/decode.ts";
import { collate } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import type { Model } from "../../model/model.ts";
import { add, sub } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import type { Fact } from "./facts.ts";

/** What is restored of a block: the state after it, or what its MLP or its attention adds to the state. */
export const PARTS = ["state", "mlp", "attn"] as const;
export type Part = (typeof PARTS)[number];

export interface Restored {
  readonly part: Part;
  readonly blocks: readonly number[];
  /** Tokens of the prompt. */
  readonly places: readonly number[];
}

/** Probabilities of an answer: geometric means over its tokens. */
export interface Traced {
  readonly clean: number;
  readonly corrupted: number;
  /** One for each of what was asked for. */
  readonly restored: readonly number[];
}

const sourceName = (part: Part, block: number): string => `${part}.${block}`;

/** Shape of a program: positions of the padded prompt, and places for tokens of the answer. */
interface TraceShape {
  readonly length: number;
  readonly answers: number;
}

/**
 * Traces facts in one model.
 *
 *   const tracer = new Tracer(model, 16);
 *   const noise = subjectNoise(fact, { width: model.sizes.width, deviation: 0.1, key: [0] });
 *   const asked = [{ part: "mlp", blocks: [3], places: [5] }];
 *   const { clean, corrupted, restored } = await tracer.trace(fact, noise, asked);
 *   tracer.free();
 */
export class Tracer {
  readonly #model: Model;
  readonly #rows: number;
  readonly #programs: Programs;

  /** `rows` are run at once, two of them for the clean and the corrupted prompt. */
  constructor(model: Model, rows: number) {
    this.#model = model;
    this.#rows = Math.max(3, rows);
    this.#programs = new Programs(model.gpu);
  }

  /** `noise` is added to the embeddings of the subject, a row of the model's width for each token. */
  async trace(fact: Fact, noise: Float32Array, asked: readonly Restored[]): Promise<Traced> {
    const sequence = { ids: fact.ids, labels: fact.ids, group: 0, place: fact.place };
    const { length, ids, positions } = collate(Array.from({ length: this.#rows }, () => [sequence]));
    const shape = { length, answers: 2 ** Math.ceil(Math.log2(fact.answer.length)) };
    const { program } = await this.#programs.get(`${shape.length} ${shape.answers}`, (rec) => this.#record(rec, shape));
    program.write("ids", ids);
    program.write("positions", positions);
    this.#fillNoise(program, fact, noise, shape);
    this.#fillAnswers(program, fact, shape);
    const found: number[] = [];
    const atOnce = this.#rows - 2;
    for (let from = 0; from < Math.max(1, asked.length); from += atOnce) {
      const some = asked.slice(from, from + atOnce);
      this.#fillSources(program, some, shape);
      program.run();
      const nll = await program.read("nll");
      const probability = (row: number) => {
        const own = nll.subarray(row * shape.answers, row * shape.answers + fact.answer.length);
        return Math.exp(-own.reduce((sum, x) => sum + x, 0) / own.length);
      };
      if (from === 0) found.push(probability(0), probability(1));
      for (const i of some.keys()) found.push(probability(i + 2));
    }
    const [clean, corrupted, ...restored] = found;
    return { clean: clean!, corrupted: corrupted!, restored };
  }

  /** The noise of the subject's tokens, and where it is added: in every row but the clean one. */
  #fillNoise(program: Program, { subject }: Fact, noise: Float32Array, { length }: TraceShape): void {
    const table = new Float32Array(length * this.#model.sizes.width);
    table.set(noise);
    program.write("noise", table);
    const order = new Map(subject.map((place, i) => [place, i]));
    program.write(
      "noisy",
      Int32Array.from({ length: this.#rows * length }, (_, i) => (i < length ? -1 : (order.get(i % length) ?? -1))),
    );
  }

  /** The answer's tokens, and the positions that predict them. */
  #fillAnswers(program: Program, { answer, ids }: Fact, { length, answers }: TraceShape): void {
    const at = new Int32Array(this.#rows * answers).fill(-1);
    const targets = new Int32Array(this.#rows * answers).fill(-1);
    for (let row = 0; row < this.#rows; row++)
      for (const [i, place] of answer.entries()) {
        at[row * answers + i] = row * length + place - 1;
        targets[row * answers + i] = ids[place]!;
      }
    program.write("answers", at);
    program.write("targets", targets);
  }

  /** From which row each part of each block is taken: its own, and the clean one where it is restored. */
  #fillSources(program: Program, some: readonly Restored[], { length }: TraceShape): void {
    const sources = new Map<string, Int32Array>();
    for (const part of PARTS)
      for (let block = 0; block < this.#model.sizes.layers; block++)
        sources.set(
          sourceName(part, block),
          Int32Array.from({ length: this.#rows * length }, (_, i) => i),
        );
    for (const [i, { part, blocks, places }] of some.entries())
      for (const block of blocks)
        for (const place of places) sources.get(sourceName(part, block))![(i + 2) * length + place] = place;
    for (const [name, source] of sources) program.write(name, source);
  }

  #record(rec: Recorder, { length, answers }: TraceShape): void {
    const n = this.#rows * length;
    const inputs = {
      batch: this.#rows,
      length,
      ids: rec.input("ids", [n], "i32"),
      positions: rec.input("positions", [n], "i32"),
    };
    const { hidden, head } = this.#model.record(rec, inputs, { replace: this.#restoring(rec, n, length) });
    const read = embedding(rec, rec.input("answers", [this.#rows * answers], "i32"), hidden);
    const targets = rec.input("targets", [this.#rows * answers], "i32");
    rec.output("nll", headLoss(rec, { hidden: read, head, width: this.#model.sizes.outputs, targets }));
  }

  /** Adds the noise to the embeddings, and lets every row take parts of blocks from another. */
  #restoring(rec: Recorder, n: number, length: number): (name: string, x: Tensor) => Tensor {
    const noisy = rec.input("noisy", [n], "i32");
    const noise = rec.input("noise", [length, this.#model.sizes.width]);
    const source = (part: Part, block: number, x: Tensor) =>
      embedding(rec, rec.input(sourceName(part, block), [n], "i32"), x); // (N, C)
    /** What was added to `into` to make `x`, from its source: where that is the row itself, 0 is added. */
    const added = (part: Part, block: number, x: Tensor, into: Tensor) => {
      const own = sub(rec, x, into);
      return add(rec, x, sub(rec, source(part, block, own), own));
    };
    let before: Tensor;
    return (note, x) => {
      const [kind, index] = note.split(".");
      const block = Number(index);
      if (note === "hidden.0") before = add(rec, x, embedding(rec, noisy, noise));
      else if (kind === "middle") before = added("attn", block, x, before);
      else if (kind === "hidden") before = source("state", block - 1, added("mlp", block - 1, x, before));
      else return x;
      return before;
    };
  }

  free(): void {
    this.#programs.free();
  }
}

const PIECE = 2 ** 24; // bytes

/** Standard deviation of the values of the embedding table. */
export async function embeddingDeviation({ gpu, parameters }: Model): Promise<number> {
  const table = [...parameters.values()].find(({ name }) => /(^|\.)(embed_tokens|wte)\.weight$/.test(name));
  if (!table) throw new TypeError("the model has no embedding table");
  let [sum, squares] = [0, 0];
  for (let at = 0; at < table.bytes; at += PIECE) {
    const bytes = Math.min(PIECE, table.bytes - at);
    const values = await gpu.read(table.buffer, at, Math.ceil(bytes / 4) * 4, (view) =>
      decodeFloats(view.slice(0, bytes), table.dtype === "bf16" ? "BF16" : "F32"),
    );
    for (const value of values) {
      sum += value;
      squares += value * value;
    }
  }
  return Math.sqrt(Math.max(0, squares / table.size - (sum / table.size) ** 2));
}

/** Noise for the subject of a fact, (tokens, width); `key` selects the draw. */
export function subjectNoise(
  { subject }: Fact,
  { width, deviation, key }: { readonly width: number; readonly deviation: number; readonly key: readonly number[] },
): Float32Array {
  const random = new Random("trace", ...key);
  return Float32Array.from({ length: subject.length * width }, () => deviation * random.normal());
}
