/**
 * Class anchors: a new phrase keeps near to the phrase of its class, as the model saw that one before the training.
 *
 *   loss + weight mean over pairs of (1 - cos(E(new), E_0(anchor)))
 *
 * E is what the head reads of a phrase, its mean over the tokens or that of the last one; E_0 is E before the first
 * step. Huang et al. 2024, ClassDiffusion, https://arxiv.org/abs/2405.17532, whose text encoder gives the last token's.
 * A step takes some of the pairs, each once before any comes again. The step's reported loss is without this term.
 *
 * Memory: activations of a batch of phrases, and C floats a pair.
 */
import { collate, type TokenBatch } from "../../../data/batch.ts";
import { GroupOrder } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import type { Json } from "../../../json.ts";
import type { Model } from "../../../model/model.ts";
import { mul, sumTo } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { unitRows } from "../../../tensor/ops/unit-rows.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../../batch-programs.ts";
import { Programs } from "../../programs.ts";
import type { UpdateRule } from "../update-rule.ts";

/** Tokens of a new phrase, and of its anchor. */
export interface EncodedPair {
  readonly fresh: Int32Array;
  readonly anchor: Int32Array;
}

export interface ClassAnchorOptions {
  readonly weight: number;
  /** Pairs of a step. */
  readonly batch: number;
  readonly pool: "mean" | "last";
  readonly pad: number;
  readonly seed: number;
  info(text: string): void;
}

export class ClassAnchor implements UpdateRule {
  readonly name = "class-anchor";
  readonly kept: readonly Parameter[];
  readonly #model: Model;
  readonly #pairs: readonly EncodedPair[];
  readonly #options: ClassAnchorOptions;
  /** E_0 of the anchors, (pairs, C), each of length 1. */
  readonly #anchors: Parameter;
  readonly #order: GroupOrder;
  readonly #programs: Programs;
  readonly #asking: Programs;
  /** The same on the host, once it is asked for. */
  #host: Float32Array | undefined;
  /** Mean cosine before the first step. */
  #first = 0;

  constructor(model: Model, pairs: readonly EncodedPair[], options: ClassAnchorOptions) {
    this.#model = model;
    this.#pairs = pairs;
    this.#options = { ...options, batch: Math.min(options.batch, pairs.length) };
    this.#anchors = new Parameter(model.gpu, "class anchors", [pairs.length, model.sizes.width], "f32", false);
    this.kept = [this.#anchors];
    this.#order = new GroupOrder("class anchors", pairs.length, options.seed);
    this.#programs = new Programs(model.gpu, { training: true });
    this.#asking = new Programs(model.gpu);
  }

  get bytes(): number {
    return this.#anchors.bytes;
  }

  async ahead(step: number): Promise<void> {
    if (step > 1) return;
    this.#host = await this.#vectors(this.#pairs.map(({ anchor }) => anchor));
    this.#anchors.write(this.#host);
    this.#first = await this.meanCosine();
  }

  async before(step: number): Promise<void> {
    const { weight, batch: size, seed } = this.#options;
    if (weight === 0) return;
    const places = Array.from({ length: size }, (_, i) => this.#order.at((step - 1) * size + i));
    const batch = this.#batchOf(places.map((place) => this.#pairs[place]!.fresh));
    const { program } = await this.#programs.get(keyOf(batch), (rec) => {
      const anchors = rec.input("anchors", [size, this.#model.sizes.width]);
      const cosines = rowSum(rec, mul(rec, this.#record(rec, batch), anchors)); // (size)
      rec.backward([[cosines, rec.constant(new Float32Array(size).fill(-weight / size), [size], "pull")]]);
    });
    this.#fill(program, batch);
    const width = this.#model.sizes.width;
    const anchors = await this.#held();
    program.write("anchors", gathered(anchors, places, width));
    program.run({ accumulate: 1, seed: (Math.imul(seed, 0x9e3779b9) + step) >>> 0 });
  }

  /** Mean cosine of all new phrases with their anchors, at the weights as they are. */
  async meanCosine(): Promise<number> {
    const [vectors, anchors] = [await this.#vectors(this.#pairs.map(({ fresh }) => fresh)), await this.#held()];
    return vectors.reduce((sum, x, i) => sum + x * anchors[i]!, 0) / this.#pairs.length;
  }

  async end(): Promise<void> {
    const now = await this.meanCosine();
    this.#options.info(
      `new phrases and their anchors: mean cosine ${this.#first.toFixed(4)} at first, ${now.toFixed(4)} at the end`,
    );
  }

  state(): Json {
    return { first: this.#first };
  }

  /** Throws UserError for what is no state of it. */
  load(state: Json): void {
    const { first } = (state ?? {}) as { first?: unknown };
    if (typeof first !== "number")
      throw new UserError("the saved class anchors cannot be read", "remove the state, and train from the start");
    this.#first = first;
  }

  async #held(): Promise<Float32Array> {
    this.#host ??= await this.#model.gpu.readFloats(this.#anchors.buffer, this.#anchors.size);
    return this.#host;
  }

  #batchOf(phrases: readonly Int32Array[]): TokenBatch {
    const bins = phrases.map((ids) => [{ ids, labels: ids, group: 0, place: "a phrase" }]);
    return collate(bins, { pad: this.#options.pad });
  }

  /** E of every phrase, (n, C), each of length 1. */
  #record(rec: Recorder, batch: TokenBatch): Tensor {
    const { rows, length } = batch;
    const { hidden } = this.#model.record(rec, recordInputs(rec, batch));
    const width = hidden.shape[1]!;
    const shares = rec.input("shares", [rows, length, 1]);
    const sums = sumTo(rec, mul(rec, rec.reshape(hidden, [rows, length, width]), shares), [rows, 1, width]);
    return unitRows(rec, rec.reshape(sums, [rows, width]));
  }

  #fill(program: Parameters<typeof fillInputs>[0], batch: TokenBatch): void {
    fillInputs(program, batch);
    const isLast = this.#options.pool === "last";
    const { rows, length, lengths } = batch;
    program.write(
      "shares",
      Float32Array.from({ length: rows * length }, (_, i) => {
        const [n, at] = [lengths[Math.floor(i / length)]!, i % length];
        return isLast ? Number(at === n - 1) : at < n ? 1 / n : 0;
      }),
    );
  }

  /** E of phrases, (n, C) on the host. */
  async #vectors(phrases: readonly Int32Array[]): Promise<Float32Array> {
    const { batch: size } = this.#options;
    const width = this.#model.sizes.width;
    const found = new Float32Array(phrases.length * width);
    for (let at = 0; at < phrases.length; at += size) {
      const batch = this.#batchOf(phrases.slice(at, at + size));
      const { program } = await this.#asking.get(keyOf(batch), (rec) => {
        rec.output("vectors", this.#record(rec, batch));
      });
      this.#fill(program, batch);
      program.run();
      found.set(await program.read("vectors"), at * width);
    }
    return found;
  }

  free(): void {
    this.#programs.free();
    this.#asking.free();
    this.#anchors.free();
  }
}

const keyOf = ({ rows, length }: TokenBatch): string => `${rows} ${length}`;

/** Some rows of (n, C). */
function gathered(values: Float32Array, places: readonly number[], width: number): Float32Array {
  const found = new Float32Array(places.length * width);
  for (const [i, place] of places.entries()) found.set(values.subarray(place * width, (place + 1) * width), i * width);
  return found;
}
