/** Batches in which rows of experiments take the place of a few others, at places that follow from seed and name. */
import { collate, type TokenBatch } from "../../data/batch.ts";
import type { SequenceData } from "../../data/dataset.ts";
import { Random } from "../../data/random.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { BatchSource } from "../training/batch-source.ts";
import { lastPlace } from "../training/prompt-course.ts";
import type { Planted } from "./plan.ts";

/** An experiment with its rows. */
export interface Experiment extends Pick<Planted, "name" | "times" | "from" | "to"> {
  readonly sequences: readonly Sequence[];
}

interface Slot {
  /** Row of the batch. */
  readonly row: number;
  /** Places of the experiment and of its row. */
  readonly experiment: number;
  readonly sequence: number;
}

/**
 * Which rows of which batches are planted, of `batches` of `rows` each. Where an experiment's rows stand follows from
 * the seed and its name: others move one of them only where they have its place. Throws UserError for more rows than
 * there is room.
 */
export function slotsOf(
  experiments: readonly Experiment[],
  { batches, rows, seed }: { readonly batches: number; readonly rows: number; readonly seed: number },
): Map<number, Slot[]> {
  const taken = new Set<number>();
  const slots = new Map<number, Slot[]>();
  for (const [experiment, { name, times, from, to, sequences }] of experiments.entries()) {
    const first = Math.floor(from * batches) * rows;
    const room = Math.ceil(to * batches) * rows - first;
    for (let time = 0; time < times; time++)
      for (const sequence of sequences.keys()) {
        let at = new Random(seed, "plant", name, sequence, time).below(room);
        let tried = 0;
        while (taken.has(first + at) && tried++ < room) at = (at + 1) % room;
        if (taken.has(first + at))
          throw new UserError(
            `${name}: ${times} times ${sequences.length} rows do not fit into ${room / rows} batches of ${rows}`,
            "plant them less often, or train longer",
          );
        taken.add(first + at);
        const [batch, row] = [Math.floor((first + at) / rows), (first + at) % rows];
        slots.set(batch, [...(slots.get(batch) ?? []), { row, experiment, sequence }]);
      }
  }
  return slots;
}

export interface PlantedOptions {
  /** Batches of the whole training. */
  readonly batches: number;
  /** Rows of a batch. */
  readonly rows: number;
  readonly seed: number;
  readonly pad: number;
}

type TokenSource = BatchSource<TokenBatch> & { readonly data: SequenceData };

/** What was planted so far, and what is over. */
export class Planting {
  readonly experiments: readonly Experiment[];
  readonly #slots: ReadonlyMap<number, readonly Slot[]>;
  readonly #pad: number;
  #planted: number[];
  #over: boolean[];

  /** Throws UserError where there is no room. */
  constructor(experiments: readonly Experiment[], options: PlantedOptions) {
    this.experiments = experiments;
    this.#slots = slotsOf(experiments, options);
    this.#pad = options.pad;
    this.#planted = experiments.map(() => 0);
    this.#over = experiments.map(() => false);
  }

  /** How many rows of each were planted. */
  get planted(): readonly number[] {
    return this.#planted;
  }

  isOver(experiment: number): boolean {
    return this.#over[experiment]!;
  }

  /** No further row of an experiment is planted. */
  end(experiment: number): void {
    this.#over[experiment] = true;
  }

  state(): Json {
    return { planted: [...this.#planted], over: [...this.#over] };
  }

  /** Throws UserError for a state of other experiments. */
  load(state: Json): void {
    const { planted, over } = isObject(state) ? state : {};
    const count = this.experiments.length;
    const counts = Array.isArray(planted) ? planted.filter((value) => typeof value === "number") : [];
    const flags = Array.isArray(over) ? over.filter((value) => typeof value === "boolean") : [];
    if (counts.length !== count || flags.length !== count)
      throw new UserError("the saved state is of other experiments", "resume with the --plant that the run began with");
    [this.#planted, this.#over] = [counts, flags];
  }

  /** The batches of `source` with what is planted in them. A place that a short batch lacks is its last rows'. */
  in(source: TokenSource): TokenSource {
    const longest = this.experiments
      .flatMap(({ sequences }) => sequences)
      .reduce<Sequence | undefined>((a, b) => (a && a.ids.length >= b.ids.length ? a : b), undefined);
    return {
      ...source,
      largest: () => {
        const largest = source.largest();
        if (!longest || longest.ids.length <= largest.length) return largest;
        const row = [longest];
        return collate(Array<Sequence[]>(largest.rows).fill(row), { pad: this.#pad });
      },
      next: async () => {
        const drawn = await source.next();
        const slots = (this.#slots.get(lastPlace(source)) ?? []).filter(({ experiment }) => !this.#over[experiment]);
        if (slots.length === 0) return drawn;
        const bins = drawn.batch.documents.map(({ sequence }) => [sequence]);
        const filled = new Set<number>();
        for (const { row, experiment, sequence } of slots) {
          let at = row % bins.length;
          while (filled.has(at) && filled.size < bins.length) at = (at + 1) % bins.length;
          if (filled.has(at)) continue;
          filled.add(at);
          bins[at] = [this.experiments[experiment]!.sequences[sequence]!];
          this.#planted[experiment]!++;
        }
        return { ...drawn, batch: collate(bins, { pad: this.#pad }) };
      },
    };
  }
}
