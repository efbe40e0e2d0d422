/**
 * The capability of a loss whose rows come from the student more and more, as they are needed: DistiLLM's adaptive
 * off-policy batches. Ko et al., ICML 2024, https://arxiv.org/abs/2402.03898
 *
 *   phi     0 at first, 0.1 more (1 at most) after every evaluation that is worse than the best so far by `slack`
 *   a draw  r, uniform: below phi (1 - progress), or below phi while the buffer is not full: the student answers the
 *           batch's prompts, and the answers are put into the buffer; else below phi: as many answers out of the
 *           buffer; else the batch as it is
 *
 * The buffer holds the latest answers. Draws are functions of (seed, number of the draw), and phi, buffer and count are
 * saved, so a run that resumes goes on as it was.
 */
import { type Batch, isTokens } from "../data/batch.ts";
import { Random } from "../data/random.ts";
import { IGNORED } from "../data/rows.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";
import type { Options, Values } from "../method/options.ts";
import { answered } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import { meanOfGroups } from "../run/training/held-out.ts";
import type { BatchesGiven, DistillCapability, OwnBatches } from "./capability.ts";
import { largestSampled, rowsOf, writtenRows } from "./sampled.ts";

const OPTIONS = {
  slack: {
    type: "number >= 0",
    default: 0.1,
    help: "by how much a held-out loss is above the best before the student's own answers are used more",
    value: "LOSS",
  },
  buffer: { type: "number.integer >= 1", default: 1000, help: "answers of the student that are kept", value: "N" },
} as const satisfies Options;

/** Parts of phi, of which an evaluation adds one. */
const PARTS = 10;

/** How rows are drawn, and what was heard and kept so far. */
export class ReplayState {
  readonly #slack: number;
  readonly #capacity: number;
  #parts = 0;
  #best: number | null = null;
  #count = 0;
  #kept: Sequence[] = [];

  constructor({ slack, buffer }: Values<typeof OPTIONS>) {
    this.#slack = slack;
    this.#capacity = buffer;
  }

  get phi(): number {
    return this.#parts / PARTS;
  }

  get kept(): readonly Sequence[] {
    return this.#kept;
  }

  /** Takes a held-out loss. */
  hear(loss: number): void {
    if (this.#best !== null && loss >= this.#best + this.#slack) this.#parts = Math.min(PARTS, this.#parts + 1);
    if (this.#best === null || loss < this.#best) this.#best = loss;
  }

  /** What the next of `draws` batches is, with the number of it. */
  draw(seed: number, draws: number): { readonly kind: "written" | "kept" | "given"; readonly random: Random } {
    const random = new Random(seed, "replay", String(this.#count));
    const r = random.uniform();
    const progress = Math.min(1, this.#count++ / Math.max(1, draws));
    const isFull = this.#kept.length >= this.#capacity;
    if (r < this.phi * (1 - progress) || (!isFull && r < this.phi)) return { kind: "written", random };
    return { kind: r < this.phi && this.#kept.length > 0 ? "kept" : "given", random };
  }

  keep(answers: readonly Sequence[]): void {
    this.#kept = [...this.#kept, ...answers].slice(-this.#capacity);
  }

  /** So many kept answers, each once; all where there are fewer. */
  some(count: number, random: Random): Sequence[] {
    const left = [...this.#kept];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(random.below(left.length), 1)[0]!);
  }

  state(): Json {
    const kept = this.#kept.map(({ ids, labels, group, place }) => {
      const first = labels.findIndex((label) => label !== IGNORED);
      return { ids: [...ids], prompt: first < 0 ? ids.length : first, group, place };
    });
    return { phi: this.phi, best: this.#best, count: this.#count, kept };
  }

  /** Throws UserError for what no state is. */
  load(state: unknown): void {
    const wrong = new UserError("the saved run has no state of replayed answers", "begin anew: leave out --resume");
    if (!isObject(state) || !Array.isArray(state.kept)) throw wrong;
    const { phi, best, count, kept } = state;
    if (typeof phi !== "number" || typeof count !== "number" || (best !== null && typeof best !== "number"))
      throw wrong;
    this.#kept = kept.map((row) => {
      if (!isObject(row) || !Array.isArray(row.ids)) throw wrong;
      const { prompt, group, place } = row;
      const ids = row.ids.filter((id): id is number => typeof id === "number");
      if (typeof prompt !== "number" || typeof group !== "number" || typeof place !== "string") throw wrong;
      const sequence = { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group, place };
      return answered(sequence, ids.slice(0, prompt), ids.slice(prompt));
    });
    [this.#parts, this.#best, this.#count] = [Math.round(PARTS * phi), best, count];
  }
}

/** The batches, and what hears the evaluations. */
export function replayedBatches(
  self: ReplayState,
  source: BatchSource<Batch>,
  { student, tools, seed, batches, options }: BatchesGiven,
): OwnBatches {
  let generator: Generator | undefined;
  const replayed: BatchSource<Batch> = {
    groups: source.groups,
    batchesPerEpoch: source.batchesPerEpoch,
    largest: () => largestSampled(source.largest(), { options, tools }),
    async next() {
      const { epoch, batch } = source.state();
      const drawn = await source.next();
      if (!isTokens(drawn.batch)) return drawn;
      const { kind, random } = self.draw(seed, batches);
      if (kind === "given") return drawn;
      if (kind === "kept") return { ...drawn, batch: rowsOf(self.some(drawn.batch.documents.length, random), tools) };
      generator ??= new Generator(student);
      const key = (row: number) => `student.${epoch}.${batch}.${row}`;
      const rows = await writtenRows(generator, drawn.batch, { seed, key, options, tools });
      self.keep(rows);
      return { ...drawn, batch: rowsOf(rows, tools) };
    },
    state: () => source.state(),
    load: (state, what) => source.load(state, what),
  };
  const controller: Controller = {
    name: "replay",
    logged: true,
    // Of the log alone: no program takes it.
    values: () => ({ own_answers: self.phi }),
    due: (step) => step % options.eval_every === 0,
    async after(_, held) {
      if (held) self.hear(meanOfGroups(await held.losses()));
    },
    state: () => self.state(),
    load: (state) => self.load(state),
  };
  return { source: replayed, controllers: [controller], free: async () => generator?.free() };
}

export const replayedAnswers: DistillCapability<typeof OPTIONS> = {
  name: "replayed-answers",
  options: OPTIONS,
  begin(values, { method, evaluates }) {
    if (!evaluates)
      throw new UserError(
        `${method} uses the student's own answers as its held-out loss says, and none is measured`,
        "give --eval-every N, and --eval-data or --eval-split",
      );
    return {
      answers: true,
      batches: (source, given) => replayedBatches(new ReplayState(values), source, given),
    };
  },
};
