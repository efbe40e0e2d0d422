/**
 * One training step: forward and back over the micro-batches, then the update, without waiting for the GPU anywhere.
 *
 * Memory besides the model: activations of the largest program (shared by all of them), gradients and optimizer
 * states of what is trained.
 */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { countSteps } from "../../model/adapters/told.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { type Compiled, Programs } from "../programs.ts";
import { fillAdapterLosses, withAdapterLosses } from "./adapter-losses.ts";
import { Curvature } from "./curvature.ts";
import type { ExpertTraining } from "./experts/expert-training.ts";
import { NoiseScale, type PartialNorm } from "./noise-scale.ts";
import type { Objective } from "./objective.ts";
import { type PassOptions, type UpdateRule, UpdateRules } from "./update-rule.ts";
import { Updater, type UpdaterOptions } from "./updater.ts";

export interface TrainerOptions<B> extends UpdaterOptions {
  readonly gpu: Gpu;
  readonly parameters: readonly Parameter[];
  readonly objective: Objective<B>;
  readonly seed: number;
  /** What changes the way from gradients to weights; they compose as update-rule.ts says. */
  readonly updates?: readonly UpdateRule[];
  /** How a mixture's experts are used. */
  readonly experts?: ExpertTraining | undefined;
  /** Whether the noise of gradients is measured, from those of the micro-batches. */
  readonly noiseScale?: boolean | undefined;
}

const PARTS = [""];

/** What is known of a step once the GPU has done it. */
export interface StepResult {
  readonly step: number;
  readonly lr: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Before clipping; not finite: nothing was updated. */
  readonly gradNorm: number;
  /** Tokens or examples, and those of them that count. */
  readonly size: number;
  readonly counted: number;
}

/** What is kept of the recording of a part: names of its metrics, and parameters that its gradient does not reach. */
interface RecordedPart {
  readonly metrics: readonly string[];
  readonly untouched: readonly Parameter[];
}

export class Trainer<B> {
  /** Steps that the optimizer had done before the first one. */
  past = 0;
  readonly updater: Updater;
  readonly updates: UpdateRules;
  readonly #options: TrainerOptions<B>;
  readonly #programs: Programs<RecordedPart>;
  readonly #noise: NoiseScale | undefined;
  readonly #curvature: Curvature | undefined;

  private constructor(options: TrainerOptions<B>, updater: Updater, curvature: Curvature | undefined) {
    this.#options = options;
    this.updater = updater;
    this.updates = new UpdateRules(
      options.gpu,
      options.parameters,
      options.objective.parts ?? PARTS,
      options.updates ?? [],
    );
    this.#programs = new Programs(options.gpu, { training: true });
    this.#curvature = curvature;
    if (options.noiseScale) this.#noise = new NoiseScale(options.gpu, options.parameters);
  }

  /** Throws UserError where noise is to be measured of gradients that no one pass makes. */
  static async make<B>(options: TrainerOptions<B>): Promise<Trainer<B>> {
    const { parts = PARTS, grouped } = options.objective;
    const inOnePass = parts.length === 1 && !grouped && !options.updates?.some(({ part }) => part);
    if (options.noiseScale && !inOnePass)
      throw new UserError(
        "--log-noise-scale compares the gradients of micro-batches, which here are made in several passes",
        "leave it out",
      );
    const moved = new Set(options.updates?.flatMap(({ moves = [] }) => moves));
    const own = options.parameters.filter((parameter) => !moved.has(parameter));
    const updater = await Updater.make(options.gpu, own, options);
    for (const parameter of options.parameters) parameter.clearGradient();
    const curvature = updater.curvature && (await Curvature.make(options.gpu, updater.curvature));
    return new Trainer(options, updater, curvature);
  }

  /** Memory of activations, for programs that run between steps. */
  get slots(): SlotPool {
    return this.#programs.slots;
  }

  #programOf(batch: B, part: string, step: number): Promise<Compiled<RecordedPart>> {
    const { objective, parameters, experts } = this.#options;
    const key = `${objective.grouped ? "" : part} ${objective.key(batch)}${experts?.key(step) ?? ""}`;
    return this.#programs.get(key, (rec) => {
      countSteps(rec);
      experts?.begin(rec, step);
      const recorded = objective.record(rec, batch, part);
      experts?.lose(rec);
      const { backward, metrics } = withAdapterLosses(rec, recorded);
      for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
      rec.backward(backward);
      const reached = rec.reached();
      return {
        metrics: Object.keys(metrics),
        untouched: parameters.filter((parameter) => !reached.has(parameter)),
      };
    });
  }

  get #parts(): readonly string[] {
    return this.#options.objective.parts ?? PARTS;
  }

  /** The parts of a step: all, or the groups that count in it; the first where none does. */
  #partsOf(batches: readonly B[]): readonly string[] {
    const { objective } = this.#options;
    if (!objective.grouped) return objective.current?.() ?? this.#parts;
    const present = this.#parts.filter((part) => batches.some((batch) => objective.counted(batch, part) > 0));
    return present.length > 0 ? present : this.#parts.slice(0, 1);
  }

  /** Builds the programs of a batch ahead of time; the largest first, so that smaller ones fit into its memory. */
  async prepare(batch: B): Promise<readonly Program[]> {
    const programs: Program[] = [];
    const parts = this.#options.objective.grouped ? this.#parts.slice(0, 1) : this.#parts;
    for (const part of parts) programs.push((await this.#programOf(batch, part, 1)).program);
    return programs;
  }

  /** Makes the gradients over the micro-batches; gives their metrics to come. */
  async #pass(
    step: number,
    batches: readonly B[],
    values: Readonly<Record<string, number>>,
    partial?: Promise<PartialNorm>[],
  ): Promise<Promise<Record<string, number>>[]> {
    const { objective } = this.#options;
    objective.begin?.(step);
    const found: Promise<Record<string, number>>[] = [];
    const run = this.#runner(
      step,
      batches,
      values,
      (part, recorded, program) => {
        const named = (name: string) => (objective.grouped ? `${part}/${name}` : name);
        const read = recorded.metrics.map(async (name) => [named(name), (await program.read(name))[0]!] as const);
        found.push(Promise.all(read).then(Object.fromEntries));
      },
      partial,
    );
    await this.updates.gradients(step, run, this.#partsOf(batches));
    await this.updates.before(step);
    return found;
  }

  /** Forward and back of a part over the micro-batches; `hear` hears every program whose metrics count. */
  #runner(
    step: number,
    batches: readonly B[],
    values: Readonly<Record<string, number>>,
    hear: (part: string, recorded: RecordedPart, program: Program) => void = () => {},
    partial?: Promise<PartialNorm>[],
  ) {
    const { objective, seed } = this.#options;
    return async (part: string, { fresh, report }: PassOptions): Promise<void> => {
      const total = batches.reduce((sum, batch) => sum + objective.counted(batch, part), 0);
      let isFresh = fresh;
      let sofar = 0;
      for (const [i, batch] of batches.entries()) {
        const counted = objective.counted(batch, part);
        if (objective.grouped && counted === 0 && total > 0) continue;
        const { program, recorded } = await this.#programOf(batch, part, step);
        // Another part may have left something where this one writes nothing.
        if (isFresh) for (const parameter of recorded.untouched) parameter.clearGradient();
        objective.fill(program, batch, total, part);
        const share = total > 0 ? counted / total : 0;
        fillAdapterLosses(program, objective.grouped ? share : share / this.#parts.length);
        // Each micro-batch has other random numbers.
        const random = (Math.imul(seed, 0x9e3779b9) + step * 4096 + i) >>> 0;
        await program.start({ step, ...values, accumulate: isFresh ? 0 : 1, seed: random });
        isFresh = false;
        sofar += share;
        if (this.#noise && partial) {
          const reached = sofar;
          const { norm } = await this.#noise.measure();
          partial.push(norm.then((found) => ({ share: reached, norm: found })));
        }
        if (report) hear(part, recorded, program);
      }
    };
  }

  /** Takes an estimate of curvatures in, from the gradients of all parts as no rule changes them. */
  async #measureCurvature(step: number, batches: readonly B[], values: Readonly<Record<string, number>>) {
    this.#options.objective.begin?.(step);
    const run = this.#runner(step, batches, values);
    await this.#curvature?.measure((this.#options.seed + step) >>> 0, async () => {
      for (const [i, part] of this.#partsOf(batches).entries()) await run(part, { fresh: i === 0, report: false });
    });
  }

  /**
   * The largest gradients of a step that was not finite: goes through its batches once more, at the weights that led
   * there.
   */
  async largestGradients(
    step: number,
    batches: readonly B[],
    count: number,
    values: Readonly<Record<string, number>> = {},
  ): Promise<{ name: string; norm: number }[]> {
    await Promise.all(await this.#pass(step, batches, values));
    await this.updater.step(step, 0, this.#options.seed);
    return this.updater.largest(count);
  }

  /**
   * Records step `step` (from 1) over its micro-batches; `values` are numbers that the objective's programs take.
   * Resolves when everything is recorded; `result` when the GPU is done.
   */
  async step(
    step: number,
    lr: number,
    batches: readonly B[],
    values: Readonly<Record<string, number>> = {},
  ): Promise<{ result: Promise<StepResult> }> {
    const { objective, seed } = this.#options;
    if (this.#curvature?.isDue(step)) await this.#measureCurvature(step, batches, values);
    const partial: Promise<PartialNorm>[] = [];
    const parts = await this.#pass(step, batches, values, partial);
    const { norm } = await this.updater.begin(this.past + step, lr, seed);
    await this.updates.after(step);
    const result = Promise.all([norm, ...parts]).then(async ([gradNorm, ...sums]) => {
      const metrics: Record<string, number> = {};
      for (const part of sums)
        for (const [name, value] of Object.entries(part)) metrics[name] = (metrics[name] ?? 0) + value;
      const size = batches.reduce((sum, batch) => sum + objective.size(batch), 0);
      const ofStep = objective.grouped ? this.#parts : this.#parts.slice(0, 1);
      const counted = ofStep.reduce(
        (all, part) => batches.reduce((sum, b) => sum + objective.counted(b, part), all),
        0,
      );
      const reported = objective.report?.(metrics, batches) ?? metrics;
      const noise = this.#noise?.heard(await Promise.all(partial), counted);
      return { step, lr, metrics: noise ? { ...reported, ...noise } : reported, gradNorm, size, counted };
    });
    result.catch(() => {}); // awaited some steps later
    return { result };
  }

  /** Bytes on the GPU: activations (with what programs own) and optimizer states. */
  get bytes(): { activations: number; states: number } {
    const states = this.updater.bytes + (this.#curvature?.bytes ?? 0);
    return { activations: this.#programs.slots.bytes + this.#programs.ownBytes, states };
  }

  free(): void {
    this.#programs.free();
    this.updates.free();
    this.#noise?.free();
    this.#curvature?.free();
    this.updater.free();
  }
}
