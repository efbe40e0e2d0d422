/** A vector of length 1 for every class: the mean of its rows' features, or one that was chosen before. */
import type { Json } from "../../json.ts";
import { meanOf, unit } from "./buffer.ts";
import type { HostTensor, Stream } from "./contract.ts";
import type { Head } from "./last-layer.ts";
import { askRows } from "./outputs.ts";
import { nearestVectors } from "./simplex.ts";

export class Prototypes {
  /** (outputs, C) */
  readonly values: Float32Array;
  readonly #stream: Stream<unknown>;
  readonly #width: number;
  readonly #known = new Set<number>();

  /** `vectors`: for every output one, that classes are given later. */
  constructor(stream: Stream<unknown>, vectors: readonly Float64Array[] = []) {
    const { outputs, width } = stream.model.sizes;
    this.#stream = stream;
    this.#width = width;
    this.values = new Float32Array(outputs * width);
    for (const [k, vector] of vectors.entries()) this.values.set(vector, k * width);
  }

  #row(label: number): Float32Array {
    return this.values.subarray(label * this.#width, (label + 1) * this.#width);
  }

  /** The mean of features of length 1, of length 1, for each class of these tasks. */
  async #means(tasks: readonly number[]): Promise<Map<number, Float64Array>> {
    const { rows } = this.#stream;
    const byLabel = Map.groupBy(rows.of(tasks), (ref) => rows.labelOf(ref)!);
    const means = new Map<number, Float64Array>();
    for (const [label, refs] of [...byLabel].sort(([a], [b]) => a - b)) {
      const features = await askRows(this.#stream, refs, "features");
      means.set(label, unit(meanOf(features.map(unit))));
    }
    return means;
  }

  /** Makes the means of the classes of these tasks their prototypes, as the model is now; those of `keep` stay. */
  async measure(tasks: readonly number[], keep: readonly number[]): Promise<void> {
    for (const [label, mean] of await this.#means(tasks)) if (!keep.includes(label)) this.#row(label).set(mean);
  }

  /** Gives each new class of these tasks one of the vectors that no class has, near to its mean. */
  async assign(tasks: readonly number[]): Promise<void> {
    const means = [...(await this.#means(tasks))].filter(([label]) => !this.#known.has(label));
    const free = Array.from({ length: this.values.length / this.#width }, (_, k) => k).filter(
      (k) => !this.#known.has(k),
    );
    const vectors = free.map((k) => this.#row(k).slice());
    const chosen = nearestVectors(
      means.map(([, mean]) => mean),
      vectors,
    );
    const given = new Map(means.map(([label], i) => [label, chosen[i]!]));
    const others = free.keys().filter((place) => !chosen.includes(place));
    for (const k of free) this.#row(k).set(vectors[given.get(k) ?? others.next().value!]!);
    for (const [label] of means) this.#known.add(label);
  }

  /** Writes them into a head, without a bias. */
  write({ weight, bias }: Head): void {
    weight.write(this.values);
    bias?.write(new Float32Array(bias.size));
  }

  state(): Json {
    return [...this.#known];
  }

  load(state: Json): void {
    for (const label of state as number[]) this.#known.add(label);
  }

  get kept(): HostTensor[] {
    const shape = [this.values.length / this.#width, this.#width];
    return [{ name: "prototypes", shape, values: this.values }];
  }
}
