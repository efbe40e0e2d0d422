/**
 * What an update rule is: a change of the way from a step's gradients to its new weights. A training has a list of
 * them. They compose in this order, within each stage in the order of the list:
 *
 *   0. `ahead`    before a step, whose gradients are not made yet: what is measured on rows of its own.
 *   1. `part`     the way to the gradient of one part of the objective (SAM, noise). Rules nest; the first is the
 *     outermost.
 *   2. `combine`  the way from the parts' gradients to one gradient (gradient surgery). One rule at most; else they add
 *     up.
 *   3. `before`   changes of the whole gradient (penalties, projections).
 *   4.            the update itself: global norm, clipping, the optimizer's step.
 *   5. `after`    what follows the new weights (projections, scaled steps, averages).
 *   6. `end`      after the last step, before the result is measured or written.
 *
 * Everything is recorded on the GPU in this order. No rule waits for a result, but `ahead` may, and GEM does. What a
 * rule remembers is saved under its name: numbers by `state` and `load`, weights in `kept`.
 */

import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { Stateful } from "../../method/stateful.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Programs } from "../programs.ts";
import { recordAddScaled } from "./add-scaled.ts";
import type { PagedState, StateTensor } from "./training-state.ts";

/** How forward and back leave the gradients. */
export interface PassOptions {
  /** Whether they replace the gradients that are there; else they add to them. */
  readonly fresh: boolean;
  /** Whether their metrics are those of the step. One pass of each part reports. */
  readonly report: boolean;
}

/** Records forward and back of one part over all micro-batches, at the weights as they are. */
export type Pass = (options: PassOptions) => Promise<void>;

export interface UpdateRule extends Partial<Stateful> {
  /** Tells it from the other rules and controllers of a training; its state is saved under it. */
  readonly name: string;
  /** Before the gradients of step `step` (from 1) are made: it may leave anything in them. */
  ahead?(step: number): Promise<void> | void;
  /** Parts whose gradient `part` makes; all when left out. */
  readonly parts?: readonly string[];
  /**
   * Leaves the gradient of a part in the gradients, alone, and the weights as they were. Its first pass is fresh. The
   * frame adds the gradient to those of other parts.
   */
  part?(step: number, pass: Pass, part: string): Promise<void>;
  /** Leaves one gradient of all parts in the gradients. */
  combine?(
    step: number,
    parts: readonly string[],
    pass: (part: string, options: PassOptions) => Promise<void>,
  ): Promise<void>;
  /** Changes the whole gradient of step `step` (from 1). */
  before?(step: number): Promise<void> | void;
  /** Hears that the weights have moved, and may change them. */
  after?(step: number): Promise<void> | void;
  /** Hears that the last step is done. */
  end?(): Promise<void> | void;
  /** Weights that it holds and that are saved with the run. */
  readonly kept?: readonly Parameter[];
  /** Trained weights that it moves itself, so that the optimizer leaves them alone. */
  readonly moves?: readonly Parameter[];
  /** Tensors of its own that are saved with the run, under names that no other has. */
  tensors?(): readonly (StateTensor | PagedState)[];
  /** Bytes that it holds on the GPU, for the memory report. */
  readonly bytes?: number;
  free?(): void;
}

const copyOf = (gpu: Gpu, parameters: readonly Parameter[]): PooledBuffer[] =>
  parameters.map(({ name, size }) => gpu.buffer(Math.max(16, 4 * size), `gradient of ${name}, put aside`));

/** The rules of one training, composed. */
export class UpdateRules {
  readonly list: readonly UpdateRule[];
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #parts: readonly string[];
  readonly #programs: Programs;
  /** Copies of the gradients by nesting depth, while a rule makes another gradient in their place. */
  readonly #aside = new Map<number, readonly PooledBuffer[]>();

  /** Takes all memory that it will need. Throws RangeError for two rules of one name, or two that combine. */
  constructor(gpu: Gpu, parameters: readonly Parameter[], parts: readonly string[], rules: readonly UpdateRule[]) {
    const combining = rules.filter(({ combine }) => combine).map(({ name }) => name);
    if (combining.length > 1) throw new RangeError(`${combining.join(" and ")} both combine the gradients of parts`);
    this.list = rules;
    this.#gpu = gpu;
    this.#parameters = parameters;
    this.#parts = parts;
    this.#programs = new Programs(gpu);
    const depths = parts.map((part) => this.#around(part).length);
    const deepest = Math.max(0, ...depths);
    // A rule that combines keeps gradients itself, and asks for each afresh.
    const first = combining.length === 0 && depths.filter((depth) => depth > 0).length > 1 ? 0 : 1;
    for (let depth = first; depth < deepest; depth++) this.#aside.set(depth, copyOf(gpu, parameters));
  }

  /** The rules that make the gradient of a part, the outermost first. */
  #around(part: string): UpdateRule[] {
    return this.list.filter((rule) => rule.part && (rule.parts?.includes(part) ?? true));
  }

  /** Makes the gradients of a step. `run` records forward and back of a part; `parts` are those of the step. */
  async gradients(
    step: number,
    run: (part: string, options: PassOptions) => Promise<void>,
    parts: readonly string[] = this.#parts,
  ): Promise<void> {
    for (const rule of this.list) await rule.ahead?.(step);
    const pass = (part: string, options: PassOptions) => this.#passOf(step, part, run)(options);
    const combining = this.list.find(({ combine }) => combine);
    if (combining) return combining.combine!(step, parts, pass);
    // Parts that a rule makes come first, because they start from fresh gradients.
    const made = parts.filter((part) => this.#around(part).length > 0);
    const ordered = [...made, ...parts.filter((part) => !made.includes(part))];
    for (const [i, part] of ordered.entries()) await pass(part, { fresh: i === 0, report: true });
  }

  #passOf(step: number, part: string, run: (part: string, options: PassOptions) => Promise<void>): Pass {
    return this.#around(part).reduceRight<Pass>(
      (inner, rule, depth) => async (asked) => {
        const own: Pass = ({ fresh, report }) => inner({ fresh, report: report && asked.report });
        if (asked.fresh) await rule.part!(step, own, part);
        else await this.#added(depth, () => rule.part!(step, own, part));
      },
      (options) => run(part, options),
    );
  }

  /** Lets `make` make a gradient from scratch, and adds what was there before. */
  async #added(depth: number, make: () => Promise<void>): Promise<void> {
    const aside = this.#aside.get(depth) ?? copyOf(this.#gpu, this.#parameters);
    this.#aside.set(depth, aside);
    for (const [i, { gradient, size }] of this.#parameters.entries())
      this.#gpu.copy(gradient, 0, aside[i]!.buffer, 0, 4 * size);
    await make();
    const { program } = await this.#programs.get(`add ${depth}`, (rec) => {
      for (const [i, { name, shape, gradient }] of this.#parameters.entries()) {
        const x = rec.state(`gradient of ${name}, put aside`, shape, aside[i]!.buffer);
        const y = rec.state(`gradient of ${name}`, shape, gradient);
        recordAddScaled(rec, x, y);
      }
    });
    program.run({ a: 1, b: 1 });
  }

  async before(step: number): Promise<void> {
    for (const rule of this.list) await rule.before?.(step);
  }

  async after(step: number): Promise<void> {
    for (const rule of this.list) await rule.after?.(step);
  }

  async end(): Promise<void> {
    for (const rule of this.list) await rule.end?.();
  }

  get kept(): Parameter[] {
    return this.list.flatMap(({ kept }) => kept ?? []);
  }

  /** Tensors of the rules' own that are saved with the run. */
  get tensors(): (StateTensor | PagedState)[] {
    return this.list.flatMap((rule) => rule.tensors?.() ?? []);
  }

  /** Bytes by rule. */
  get memory(): Record<string, number> {
    const own = this.list.flatMap(({ name, bytes }) => (bytes === undefined ? [] : [[name, bytes] as const]));
    const aside = [...this.#aside.values()].flat().reduce((sum, { bytes }) => sum + bytes, 0);
    return { ...Object.fromEntries(own), ...(aside > 0 ? { gradients_aside: aside } : {}) };
  }

  free(): void {
    this.#programs.free();
    for (const copy of this.#aside.values()) for (const held of copy) held.free();
    this.#aside.clear();
    for (const rule of this.list) rule.free?.();
  }
}

type Named = { readonly name: string } & Partial<Stateful>;

/** Throws RangeError where two have one name. */
export function refuseNamesakes(list: readonly Named[]): void {
  const twice = list.find(({ name }, i) => list.findIndex((other) => other.name === name) !== i);
  if (twice) throw new RangeError(`two controllers or update rules are called ${twice.name}`);
}

/** The states of all that have one, by name. */
export const statesOf = (list: readonly Named[]): Record<string, Json> =>
  Object.fromEntries(list.flatMap((one) => (one.state ? [[one.name, one.state()] as const] : [])));

/** Gives every state back to its owner. Throws UserError when one is missing. */
export function loadStates(list: readonly Named[], states: Readonly<Record<string, Json>>, where: string): void {
  for (const one of list) {
    if (!one.load) continue;
    const state = states[one.name];
    if (state === undefined)
      throw new UserError(`${where} holds no state of ${one.name}`, "resume with the settings that the run began with");
    one.load(state);
  }
}
