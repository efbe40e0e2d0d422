/**
 * Training on one domain that is to hold on another, of which there are rows without labels (`train --match-domain`).
 * What the head reads of rows is made alike over both:
 *
 *   mmd    a weight times the discrepancy of a sample of each (tensor/ops/mean-discrepancy.ts)
 *   dann   a head learns which domain a row is of, and its gradient goes back turned round, times a weight
 *
 *   weight = lambda a     a = 2 / (1 + exp(-5 p)) - 1     p = share of the steps that is done
 *
 * Sun et al., "Feature Distribution Matching for Federated Domain Generalization", ACML 2022,
 * https://arxiv.org/abs/2203.11635; reversal after Ganin et al. 2016, https://arxiv.org/abs/1505.07818. A step draws as
 * many rows of each domain as a batch has, on their own: the rows of the loss are others. The head of domains has one
 * hidden layer, is trained beside the model and is not part of the result. The step's reported loss is without the
 * match.
 */
import { type Batch, type ExampleBatch, stackExamples } from "../../data/batch.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import { GroupOrder, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { isObject, type Json } from "../../json.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import type { ReadRows } from "../../run/training/batch-source.ts";
import type { WorkPart } from "../../run/training/join-work.ts";
import type { Built, Opened } from "../../run/training/technique.ts";
import type { UpdateRule } from "../../run/training/update-rule.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { scaleGradient } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { meanDiscrepancy } from "../../tensor/ops/mean-discrepancy.ts";
import { mean } from "../../tensor/ops/reduce.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { MATCH } from "./options.ts";

type MatchOptions = Values<typeof MATCH>;

/** Share of the weight at a share of the training. */
export const rampOf = (share: number): number => 2 / (1 + Math.exp(-5 * share)) - 1;

/** A head that says of which domain rows are, drawn by (seed, name). */
export function domainJudge(gpu: Gpu, width: number, seed: number): ReadonlyMap<string, Parameter> {
  const tensors: [string, number[], number][] = [
    ["in.weight", [width, width], 1 / Math.sqrt(width)],
    ["in.bias", [width], 0],
    ["out.weight", [2, width], 1 / Math.sqrt(width)],
    ["out.bias", [2], 0],
  ];
  return new Map(
    tensors.map(([part, shape, bound]) => {
      const name = `match.${part}`;
      const unit = keyedUnits(seed, name);
      const parameter = new Parameter(gpu, name, shape);
      parameter.write(Float32Array.from({ length: sizeOf(shape) }, () => bound * (2 * unit() - 1)));
      return [part, parameter] as const;
    }),
  );
}

export interface MatchSetup {
  readonly by: MatchOptions["match_by"];
  readonly weight: number;
  /** Steps of the training. */
  readonly steps: number;
  /** Rows of a step, of each domain. */
  readonly rows: number;
  readonly seed: number;
  readonly judge: ReadonlyMap<string, Parameter> | undefined;
  info(text: string): void;
}

export class DomainMatch implements UpdateRule {
  readonly name = "match";
  readonly #model: Model;
  readonly #own: readonly Example[];
  readonly #other: readonly Example[];
  readonly #setup: MatchSetup;
  readonly #orders: readonly [own: GroupOrder, other: GroupOrder];
  readonly #programs: Programs;
  readonly #asking: Programs;
  /** Discrepancy before the first step. */
  #first = 0;

  constructor(model: Model, own: readonly Example[], other: readonly Example[], setup: MatchSetup) {
    this.#model = model;
    this.#own = own;
    this.#other = other;
    this.#setup = setup;
    this.#orders = [
      new GroupOrder("match: own rows", own.length, setup.seed),
      new GroupOrder("match: other rows", other.length, setup.seed),
    ];
    this.#programs = new Programs(model.gpu, { training: true });
    this.#asking = new Programs(model.gpu);
  }

  async ahead(step: number): Promise<void> {
    if (step === 1) this.#first = await this.discrepancy();
  }

  async before(step: number): Promise<void> {
    const { weight, seed, steps } = this.#setup;
    const now = weight * rampOf((step - 1) / steps);
    if (now === 0 && !this.#setup.judge) return;
    const batch = this.#batch(step);
    const { program } = await this.#programs.get(keyOf(batch), (rec) => this.#record(rec, batch));
    fillInputs(program, batch);
    program.write("weight", Float32Array.of(now));
    if (this.#setup.judge) program.write("turned", Float32Array.of(-now));
    program.run({ accumulate: 1, seed: (Math.imul(seed, 0x9e3779b9) + step) >>> 0 });
  }

  /** The discrepancy of the first batch of each domain, at the weights as they are. */
  async discrepancy(): Promise<number> {
    const batch = this.#batch(1);
    const { program } = await this.#asking.get(keyOf(batch), (rec) => {
      rec.output("discrepancy", meanDiscrepancy(rec, this.#features(rec, batch)));
    });
    fillInputs(program, batch);
    program.run();
    return (await program.read("discrepancy"))[0]!;
  }

  async end(): Promise<void> {
    const now = await this.discrepancy();
    this.#setup.info(
      `features of both domains: discrepancy ${this.#first.toFixed(4)} at first, ${now.toFixed(4)} at the end`,
    );
  }

  state(): Json {
    return { first: this.#first };
  }

  /** Throws UserError for what is no state of it. */
  load(state: Json): void {
    const first = isObject(state) ? state.first : undefined;
    if (typeof first !== "number")
      throw new UserError("the saved match of domains cannot be read", "remove the state, and train from the start");
    this.#first = first;
  }

  free(): void {
    this.#programs.free();
    this.#asking.free();
  }

  /** Rows of the training, and then as many of the other domain. */
  #batch(step: number): ExampleBatch {
    const { rows } = this.#setup;
    const drawn = (order: GroupOrder, examples: readonly Example[]) =>
      Array.from({ length: rows }, (_, i) => examples[order.at((step - 1) * rows + i)]!);
    const [own, other] = this.#orders;
    return stackExamples([...drawn(own, this.#own), ...drawn(other, this.#other)]);
  }

  /** What the head reads of a batch: (rows, C). */
  #features(rec: Recorder, batch: ExampleBatch): Tensor {
    return this.#model.record(rec, recordInputs(rec, batch)).hidden;
  }

  #record(rec: Recorder, batch: ExampleBatch): void {
    const { by, rows, judge } = this.#setup;
    const features = this.#features(rec, batch);
    const weight = rec.input("weight", [1]);
    const one = rec.constant(Float32Array.of(1), [1], "pull");
    rec.backward([
      ...(by === "dann" ? [] : [[meanDiscrepancy(rec, features), weight] as const]),
      ...(judge ? [[this.#judged(rec, features, judge, rows), one] as const] : []),
    ]);
  }

  /** Mean loss of the head of domains, whose gradient goes on turned round. */
  #judged(rec: Recorder, features: Tensor, judge: ReadonlyMap<string, Parameter>, rows: number): Tensor {
    const own = (part: string) => rec.parameter(judge.get(part)!);
    const seen = scaleGradient(rec, features, rec.input("turned", [1]));
    const inner = relu(rec, linear(rec, seen, own("in.weight"), { bias: own("in.bias") }));
    const logits = linear(rec, inner, own("out.weight"), { bias: own("out.bias") });
    const domains = Int32Array.from({ length: 2 * rows }, (_, row) => Number(row >= rows));
    return mean(rec, crossEntropy(rec, logits, rec.constant(domains, [2 * rows], "domains")));
  }
}

/** The shape of a batch. */
const keyOf = (batch: ExampleBatch): string => ("tokens" in batch ? `${batch.width}` : "");

/** Rows of the other domain; undefined without any. Throws UserError for models and rows that it is not for. */
export async function readOtherDomain(
  options: MatchOptions & { readonly columns?: string },
  { task, examples }: Opened,
) {
  const { match_domain: file, columns } = options;
  if (file === undefined) return undefined;
  if ((task !== "classifier" && task !== "regressor") || examples.pairs || examples.everyToken)
    throw new UserError(
      "--match-domain compares what a classifier's or regressor's head reads of whole rows",
      "leave it out, or train a model of labels or numbers",
    );
  const groups = parseGroups([file], columns, "--match-domain");
  const found = await loadExamples(groups, { ...examples, unlabelled: true, predicts: undefined });
  if (found.length === 0) throw new UserError(`--match-domain ${file} has no rows`, "give rows of the other domain");
  return found;
}

/** The part of a training that matches domains; undefined where none is asked for. */
export function matchWork(
  { model, steps }: Built,
  source: ReadRows,
  other: readonly Example[] | undefined,
  {
    options,
    seed,
    info,
  }: { readonly options: MatchOptions & { batch_size: number }; seed: number; info(text: string): void },
): WorkPart<Batch> | undefined {
  if (!other) return undefined;
  if (!("examples" in source)) throw new TypeError("rows of a classifier were read otherwise");
  const { match_by: by, match_weight: weight, batch_size: rows } = options;
  const judge = by === "mmd" ? undefined : domainJudge(model.gpu, model.sizes.width, seed);
  const own = source.examples.map(({ y: _, ...example }) => example);
  const rule = new DomainMatch(model, own, other, { by, weight, steps, rows, seed, judge, info });
  const extra = [...(judge?.values() ?? [])];
  return {
    extra,
    updates: [rule],
    free() {
      for (const parameter of extra) parameter.free();
    },
  };
}
