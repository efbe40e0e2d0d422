/**
 * Rows of many random tasks made of one data set, each with its examples in a row, so that a model learns to learn from
 * them: task j is x' = A_j x with A_j of normal numbers of variance 1 / d, and y' = the class in an order of its own.
 * Kirsch et al. 2022, General-Purpose In-Context Learning by Meta-Learning Transformers,
 * https://arxiv.org/abs/2212.04458
 *
 * Departs from it in two points: x' has few numbers, and each is a token, its place among `bins` equal steps within 2.5
 * root mean squares of the data set's projections; then any language model reads a row.
 */
import { Random } from "../random.ts";

/** What is beyond it is in the last bin. */
const REACH = 2.5;

export interface Example {
  readonly x: readonly number[];
  readonly label: number;
}

export interface TaskOptions {
  readonly tasks: number;
  readonly unseen: boolean;
  readonly pairs: number;
  readonly dims: number;
  readonly bins: number;
  readonly unpermuted: number;
  readonly shuffle_labels: boolean;
  readonly seed: number;
}

/** A row: tokens, of which those of classes count. */
export interface InContextRow {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
  readonly task: number;
}

/** Makes rows of examples, all of one width. Memory: the examples. */
export class InContextTasks {
  readonly #examples: readonly Example[];
  readonly #options: TaskOptions;
  readonly #classes: number;
  readonly #size: number;

  constructor(examples: readonly Example[], options: TaskOptions) {
    this.#examples = examples;
    this.#options = options;
    this.#classes = 1 + examples.reduce((most, { label }) => Math.max(most, label), 0);
    const squares = examples.reduce((sum, { x }) => sum + x.reduce((own, v) => own + v * v, 0) / x.length, 0);
    this.#size = Math.sqrt(squares / examples.length) || 1;
  }

  get classes(): number {
    return this.#classes;
  }

  /** Tokens: those of numbers, then those of classes. */
  get vocabulary(): number {
    return this.#options.bins + this.#classes;
  }

  /** Projection (dims, d), row by row, and the order of classes of a task. */
  #task(number: number, width: number): { readonly projection: Float64Array; readonly order: readonly number[] } {
    const { dims, seed, unpermuted } = this.#options;
    const random = new Random(seed, "gpicl task", number);
    const projection = Float64Array.from({ length: dims * width }, () => random.normal() / Math.sqrt(width));
    const classes = Array.from({ length: this.#classes }, (_, c) => c);
    const keeps = random.uniform() < unpermuted;
    const order = random.shuffled(classes);
    return { projection, order: keeps ? classes : order };
  }

  #token(value: number): number {
    const { bins } = this.#options;
    const share = (value / this.#size / REACH + 1) / 2;
    return Math.min(bins - 1, Math.max(0, Math.floor(share * bins)));
  }

  /** The row at an index, a function of the seed and the index alone. */
  row(index: number): InContextRow {
    const { tasks, unseen, pairs, dims, bins, seed, shuffle_labels: shuffles } = this.#options;
    const random = new Random(seed, "gpicl row", Number(unseen), index);
    const task = random.below(tasks) + (unseen ? tasks : 0);
    const drawn = Array.from({ length: pairs }, () => random.pick(this.#examples));
    const { projection, order } = this.#task(task, drawn[0]!.x.length);
    const classes = drawn.map(({ label }) => order[label]!);
    const shown = shuffles ? random.shuffled(classes) : classes;
    const ids: number[] = [];
    const labels: number[] = [];
    for (const [i, { x }] of drawn.entries()) {
      for (let d = 0; d < dims; d++) {
        let sum = 0;
        for (const [j, value] of x.entries()) sum += projection[d * x.length + j]! * value;
        ids.push(this.#token(sum));
        labels.push(-100);
      }
      ids.push(bins + shown[i]!);
      labels.push(bins + shown[i]!);
    }
    return { input_ids: ids, labels, task };
  }
}
