/**
 * TAME: nobody says where a task ends. A rise of the loss does (shift-detector.ts), and another expert takes over: an
 * earlier one whose loss on the batch is as it was when it was left, or else a new one.
 *
 *   s_active > theta_active: the first expert e with beta l_e + (1 - beta) s_e < theta_e, or a new one, learns on
 *
 * Zhu et al. 2022, https://arxiv.org/abs/2210.03869. An expert is all that is trained: the model, or an adapter; a new
 * one begins as the model began. Moments of the optimizer go from expert to expert. A row is answered by the expert
 * that a selector gives it, which learns from rows kept on the way (expert-rows.ts) by their features under the weights
 * of the beginning. Experts are not pruned. The stream's stages are not looked at; a stage's schedule is its own.
 */
import { batchKey } from "../../../data/batch.ts";
import { meanWeights } from "../../../data/targets.ts";
import { UserError } from "../../../errors.ts";
import type { Json } from "../../../json.ts";
import type { Options, Values } from "../../../method/options.ts";
import type { Model } from "../../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../../run/batch-programs.ts";
import { Programs } from "../../../run/programs.ts";
import { SHIFT, ShiftDetector } from "../../../run/training/shift-detector.ts";
import { headLoss } from "../../../tensor/ops/head-loss.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import {
  continualMethod,
  type FurtherResult,
  type Measuring,
  type Stream,
  type TaskScore,
} from "../../continual/contract.ts";
import { ExpertRows } from "../../continual/expert-rows.ts";
import { ExpertSelector } from "../../continual/expert-selector.ts";
import { OldWeights } from "../../continual/old-weights.ts";
import { askRows } from "../../continual/outputs.ts";
import type { PartBatch, RowRef } from "../../continual/rows.ts";

/** Options of the method. */
const OPTIONS = {
  experts: { type: "number.integer >= 1", default: 4, value: "N", help: "most experts; memory is taken for all" },
  buffer: { type: "number.integer >= 1", default: 200, value: "K", help: "rows that the selector learns from" },
  ...SHIFT,
} as const satisfies Options;

type TameValues = Values<typeof OPTIONS>;

/** Mean cross-entropy of batches at the weights as they are. */
class BatchLoss {
  readonly #model: Model;
  readonly #programs: Programs;

  constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs(model.gpu);
  }

  async of({ batch }: PartBatch): Promise<number> {
    const model = this.#model;
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch));
      const targets = recordTargets(rec, batch);
      const losses = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets });
      rec.output("loss", dot(rec, losses, rec.input("weights", [batch.rows * batch.length])));
    });
    fillInputs(program, batch);
    program.write("weights", meanWeights(fillTargets(program, batch), batch.counted));
    program.run();
    return (await program.read("loss"))[0]!;
  }

  free(): void {
    this.#programs.free();
  }
}

/** Rows of a task that one expert is for. */
interface ForExpert {
  readonly task: number;
  readonly expert: number;
  readonly batches: readonly PartBatch[];
}

interface Switch {
  readonly stage: number;
  readonly from: number;
  readonly to: number;
  readonly loss: number;
}

/** The experts of a stream, and which of them learns. */
class Experts {
  readonly #stream: Stream<TameValues>;
  readonly #first: OldWeights;
  /** Weights of each expert while another one learns. */
  readonly #held: readonly OldWeights[];
  readonly #losses: BatchLoss;
  readonly #rows: ExpertRows;
  #detectors: ShiftDetector[];
  #active = 0;
  #switches: Switch[] = [];

  constructor(stream: Stream<TameValues>) {
    const { model, values } = stream;
    this.#stream = stream;
    this.#first = new OldWeights(model, "first");
    this.#first.take();
    this.#held = Array.from({ length: values.experts }, (_, i) => new OldWeights(model, `expert${i}`));
    for (const held of this.#held) held.take();
    this.#losses = new BatchLoss(model);
    this.#rows = new ExpertRows(stream, values.buffer);
    this.#detectors = [new ShiftDetector(values)];
  }

  get said(): string {
    return this.#detectors.length === 1 ? "" : `expert ${this.#active} of ${this.#detectors.length}`;
  }

  /** Looks at a batch that comes to be learnt, and lets the expert learn it that it is for. */
  async meet(batch: PartBatch, stage: number): Promise<void> {
    if (this.#stream.dry || batch.batch.counted === 0) return;
    const loss = await this.#losses.of(batch);
    if (this.#detectors[this.#active]!.rises(loss)) await this.#change(batch, loss, stage);
    for (const ref of batch.refs) this.#rows.offer(ref, this.#active);
  }

  async #change(batch: PartBatch, loss: number, stage: number): Promise<void> {
    const from = this.#active;
    this.#held[from]!.take();
    const to = (await this.#returning(batch, from)) ?? this.#fresh();
    if (to === undefined) {
      // There is no room: the same expert goes on, and what it now meets is what later losses are measured against.
      this.#held[from]!.give();
      this.#detectors[from]!.reset();
      this.#stream.info(`a new task is met, loss ${loss.toPrecision(4)}, and all --experts are taken: ${from} goes on`);
      return;
    }
    this.#active = to;
    this.#switches.push({ stage, from, to, loss });
    this.#stream.info(`the loss rose to ${loss.toPrecision(4)}: expert ${to} takes over from ${from}`);
  }

  /** The first other expert whose loss is as it was; the model then has its weights. */
  async #returning(batch: PartBatch, from: number): Promise<number | undefined> {
    for (const [e, detector] of this.#detectors.entries()) {
      if (e === from) continue;
      this.#held[e]!.give();
      if (!detector.rises(await this.#losses.of(batch))) return e;
    }
    return undefined;
  }

  /** A new expert, whose weights the model then has; undefined where there is no room. */
  #fresh(): number | undefined {
    const { values } = this.#stream;
    if (this.#detectors.length === values.experts) return undefined;
    this.#first.give();
    return this.#detectors.push(new ShiftDetector(values)) - 1;
  }

  /** Scores every row by the expert that is selected for it. */
  async measure(measuring: Measuring): Promise<TaskScore[]> {
    const { tasks, score } = measuring;
    if (this.#detectors.length === 1) return score(tasks);
    this.#held[this.#active]!.take();
    this.#first.give();
    const parts = await this.#selected(measuring);
    const scored: { readonly task: number; readonly score: TaskScore }[] = [];
    for (const [expert, own] of Map.groupBy(parts, ({ expert }) => expert)) {
      this.#held[expert]!.give();
      const scores = await score(own.map(({ batches }) => batches));
      scored.push(...own.map(({ task }, i) => ({ task, score: scores[i]! })));
    }
    this.#held[this.#active]!.give();
    return tasks.map((_, task) => together(scored.filter((one) => one.task === task).map(({ score }) => score)));
  }

  /** The rows of tasks by the expert that each is for. The model has the weights of the beginning. */
  async #selected({ rows, tasks }: Measuring): Promise<ForExpert[]> {
    const known = await askRows(this.#stream, this.keptRows, "features");
    const labels = this.#rows.all.map(({ expert }) => expert);
    const selector = ExpertSelector.fit(known, labels, this.#detectors.length);
    const size = this.#stream.batchSize;
    const parts: ForExpert[] = [];
    for (const [task, batches] of tasks.entries()) {
      const refs = batches.flatMap((batch) => batch.refs);
      const features = await askRows({ ...this.#stream, rows }, refs, "features");
      for (const [expert, own] of Map.groupBy(refs.keys(), (i) => selector.of(features[i]!))) {
        const cut = Array.from({ length: Math.ceil(own.length / size) }, (_, i) => own.slice(i * size, (i + 1) * size));
        parts.push({ task, expert, batches: cut.map((places) => rows.plain(places.map((at) => refs[at]!))) });
      }
    }
    return parts;
  }

  results(): { readonly what: string; readonly each: readonly FurtherResult[] } {
    this.#held[this.#active]!.take();
    const each = this.#detectors.map((_, e) => ({ name: `${e}`, wear: () => this.#held[e]!.give() }));
    return { what: "experts", each: each.length === 1 ? [] : each };
  }

  tells(): Readonly<Record<string, Json>> {
    return { experts: this.#detectors.length, switches: this.#switches.map((one) => ({ ...one })) };
  }

  state(): Json {
    return {
      active: this.#active,
      detectors: this.#detectors.map((detector) => detector.state()),
      switches: this.#switches.map((one) => ({ ...one })),
      rows: this.#rows.state(),
    };
  }

  /** Throws UserError for what is no state of experts. */
  load(state: Json): void {
    const saved = (state ?? {}) as Partial<Saved>;
    const count = saved.detectors?.length ?? 0;
    if (count < 1 || count > this.#held.length || !(saved.active! >= 0 && saved.active! < count))
      throw new UserError("the saved experts do not fit --experts", "resume with the settings that the run began with");
    this.#active = saved.active!;
    this.#switches = saved.switches!;
    this.#detectors = saved.detectors!.map((own) => {
      const detector = new ShiftDetector(this.#stream.values);
      detector.load(own);
      return detector;
    });
    this.#rows.load(saved.rows ?? null);
  }

  get kept(): readonly Parameter[] {
    return [this.#first, ...this.#held].flatMap(({ kept }) => kept);
  }

  get bytes(): number {
    return this.#first.bytes * (1 + this.#held.length);
  }

  get keptRows(): readonly RowRef[] {
    return this.#rows.all.map(({ ref }) => ref);
  }

  free(): void {
    this.#losses.free();
    for (const held of [this.#first, ...this.#held]) held.free();
  }
}

interface Saved {
  readonly active: number;
  readonly detectors: Json[];
  readonly switches: Switch[];
  readonly rows: Json;
}

/** The score of rows that were scored apart. */
function together(scores: readonly TaskScore[]): TaskScore {
  const some = scores.filter(({ counted }) => counted > 0);
  const counted = some.reduce((sum, score) => sum + score.counted, 0);
  const mean = (of: (score: TaskScore) => number) =>
    some.reduce((sum, score) => sum + (score.counted / counted) * of(score), 0);
  const hasAccuracy = scores[0]!.accuracy !== undefined;
  return {
    loss: mean(({ loss }) => loss),
    ...(hasAccuracy ? { accuracy: mean(({ accuracy }) => accuracy!) } : {}),
    counted,
  };
}

export const method = continualMethod({
  name: "tame",
  title: "TAME",
  about: "nobody says where tasks end: a rise of the loss calls another expert, and a selector chooses among them",
  cite: "arXiv:2210.03869",
  options: OPTIONS,
  begin(stream) {
    if (stream.scenario !== "domain")
      throw new UserError(
        `tame finds out itself which task is learnt, and --scenario ${stream.scenario} says it`,
        "take --scenario domain",
      );
    const experts = new Experts(stream);
    return {
      stage: ({ index }) => ({
        meet: (batch) => experts.meet(batch, index),
        // What changes within a stage is saved with its training.
        controllers: [
          {
            name: "experts",
            said: () => experts.said,
            state: () => experts.state(),
            load: (state) => experts.load(state),
          },
        ],
      }),
      measure: (measuring) => experts.measure(measuring),
      results: () => experts.results(),
      tells: () => experts.tells(),
      state: () => experts.state(),
      load: (state) => experts.load(state),
      kept: () => experts.kept,
      memory: () => ({ experts: experts.bytes }),
      memoryRows: () => experts.keptRows,
      free: () => experts.free(),
    };
  },
});
