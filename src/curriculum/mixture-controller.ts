/**
 * Follows a sampler through a training: sets the mixture of every segment, counts its steps, and reports to the sampler
 * what it needs to hear. Mixtures are logged, so that --schedule-from can repeat them.
 */
import { isObject, type Json } from "../json.ts";
import type { CommandContext } from "../run/command-context.ts";
import type { Controller } from "../run/training/controller.ts";
import type { HeldOutLosses } from "../run/training/held-out.ts";
import type { StepResult } from "../run/training/trainer.ts";
import type { GroupAlignment, Sampler, SamplerNeed, TaskLoss } from "./contract.ts";
import { checkHeldOut, groupLosses } from "./losses.ts";
import type { MixtureSource } from "./source.ts";

export interface MixtureControl {
  /** Names the method in messages. */
  readonly method: string;
  readonly sampler: Sampler;
  readonly needs: readonly SamplerNeed[];
  /** Draws by the mixture that is set. */
  readonly source: MixtureSource;
  readonly steps: number;
  /** What weights of groups are for, for the log. */
  readonly taskLoss: TaskLoss;
  readonly context: Pick<CommandContext, "log" | "warn">;
  /** For samplers that need alignments, after so many steps. */
  readonly alignments?: ((step: number) => Promise<readonly GroupAlignment[]>) | undefined;
}

/** A state from JSON: where the segment began, what was drawn by then, and the training losses in it. */
type Segmented = {
  sampler: Json;
  since: number;
  before: number[];
  training: { sum: number; count: number }[];
};

export class MixtureController implements Controller {
  readonly name = "sampler";
  /** Weight of every group in the loss now; undefined: all alike. */
  weights: readonly number[] | undefined;
  readonly #given: MixtureControl;
  readonly #names: readonly string[];
  /** Hears every step, for samplers that go by training losses. */
  readonly heard?: (result: StepResult) => void;
  #since = 0;
  #before: number[];
  #training: Segmented["training"];
  #warned = false;

  constructor(given: MixtureControl) {
    this.#given = given;
    this.#names = given.source.groups.map(({ name }) => name);
    this.#before = this.#names.map(() => 0);
    this.#training = this.#noTraining();
    if (given.needs.includes("training")) this.heard = ({ metrics }) => this.#add(metrics);
  }

  #noTraining(): Segmented["training"] {
    return this.#names.map(() => ({ sum: 0, count: 0 }));
  }

  #add(metrics: StepResult["metrics"]): void {
    for (const [g, name] of this.#names.entries()) {
      const loss = metrics[`loss.${name}`];
      if (loss === undefined) continue;
      this.#training[g]!.sum += loss;
      this.#training[g]!.count++;
    }
  }

  /** The stage in which an adapter is trained, where the sampler decides it. */
  get stage(): number | undefined {
    return this.#given.sampler.stage?.();
  }

  /** Where the learning-rate schedule stands at a step, from 1: which step of how many. */
  place(step: number): { readonly step: number; readonly steps: number } {
    const { sampler, steps } = this.#given;
    let begun = 0;
    for (const length of sampler.restarts ?? [])
      if (step <= begun + length) return { step: step - begun, steps: length };
      else begun += length;
    return { step: step - begun, steps: steps - begun };
  }

  /** Begins the sampler's segment. */
  #enter(step: number): void {
    const { sampler, source } = this.#given;
    const { probs, weights, rows = [] } = sampler.segment();
    source.probs = probs;
    source.limits = rows;
    this.weights = weights;
    this.#since = step;
    this.#before = [...source.drawn];
    this.#training = this.#noTraining();
  }

  /** Logs the segment that began. */
  #log(step: number): void {
    const { sampler, taskLoss, context } = this.#given;
    const { probs, weights, rows } = sampler.segment();
    const { restarts } = sampler;
    const notes = sampler.notes?.() ?? {};
    const weighed = weights ? { weights, ...(taskLoss === "token-mean" ? {} : { task_loss: taskLoss }) } : {};
    // What the run did comes last: a sampler's notes cannot overwrite it.
    context.log.event("mixture", {
      ...{ ...notes, step, groups: this.#names, probs, ...weighed },
      ...{ ...(rows ? { rows } : {}), ...(restarts ? { restarts } : {}) },
    });
    if (typeof notes.warning !== "string" || this.#warned) return;
    context.warn(notes.warning);
    this.#warned = true;
  }

  async #report(step: number, held: HeldOutLosses | undefined): Promise<void> {
    const { sampler, source, needs, method, alignments } = this.#given;
    await sampler.update({
      step,
      ...(needs.includes("alignments") ? { alignments: await alignments!(step) } : {}),
      drawn: source.drawn.map((n, i) => n - this.#before[i]!),
      ...(needs.includes("losses")
        ? { losses: await groupLosses(checkHeldOut(held, this.#names, method), this.#names) }
        : {}),
      ...(needs.includes("training") ? { training: this.#training.map(({ sum, count }) => sum / count) } : {}),
    });
  }

  said(): string {
    const { probs } = this.#given.source;
    return `mixture ${this.#names.map((name, g) => `${name} ${(100 * probs[g]!).toFixed(1)} %`).join(", ")}`;
  }

  async begin(held: HeldOutLosses | undefined): Promise<void> {
    const { sampler, needs, method } = this.#given;
    if (needs.includes("losses")) checkHeldOut(held, this.#names, method);
    while (sampler.segment().steps === 0) await this.#report(0, held);
    this.#enter(0);
    this.#log(0);
  }

  due(step: number): boolean {
    const { sampler, steps } = this.#given;
    return step < steps && step - this.#since >= sampler.segment().steps;
  }

  async after(step: number, held: HeldOutLosses | undefined): Promise<void> {
    await this.#report(step, held);
    this.#enter(step);
    this.#log(step);
  }

  state(): Json {
    const state: Segmented = {
      sampler: this.#given.sampler.state(),
      since: this.#since,
      before: this.#before,
      training: this.#training,
    };
    return state;
  }

  load(state: Json): void {
    if (!isObject(state)) throw new TypeError("the state of a sampler is an object");
    const { sampler, since, before, training } = state as Segmented;
    this.#given.sampler.load(sampler);
    this.#enter(since);
    this.#before = [...before];
    this.#training = structuredClone(training);
  }

  free(): void {
    this.#given.sampler.free?.();
  }
}
