/**
 * Meta-DMoE: an aggregator of frozen experts of several domains, and a student for which one step towards what the
 * aggregator says of rows without labels helps.
 *
 *   at first   the aggregator learns the classes of all domains' rows through a head of its own, each domain's expert
 *              left out half of the time
 *   episode    rows of one domain, a half without labels (support), a half with them (query); the domain's own expert
 *              is left out, so that the others must say something of it
 *   inner      theta' = theta - rate d/dtheta mean (F_theta(support) - aggregate)^2
 *   outer      cross-entropy of h(F_theta'(query)), back through the step into theta, h and the aggregator, by Adam
 *
 * Zhong et al., NeurIPS 2022, https://arxiv.org/abs/2210.03885
 */
import { Random } from "../../data/random.ts";
import { type AggregatorForm, aggregated, aggregatorSpecs, freshAggregator } from "../../run/twice/aggregator.ts";
import { type Network, trainable } from "../../run/twice/network.ts";
import { oneStep } from "../../run/twice/one-step.ts";
import { linear, type Weights } from "../../run/twice/pass.ts";
import { adam } from "../../tensor/descent.ts";
import { crossEntropy, oneHot } from "../../tensor/twice/ops.ts";
import { constant, gradients, type Value, variable } from "../../tensor/twice/value.ts";
import type { RealRows } from "../data/contract.ts";

export interface ExpertNetwork {
  readonly network: Network;
  readonly weights: Weights;
}

export interface MetaSetting {
  readonly student: ExpertNetwork;
  /** Frozen; expert k is that of domain k. */
  readonly experts: readonly ExpertNetwork[];
  readonly domains: readonly RealRows[];
  readonly form: AggregatorForm;
  readonly aggregatorSteps: number;
  readonly steps: number;
  /** Rows of a half. */
  readonly support: number;
  readonly innerRate: number;
  readonly firstOrder: boolean;
  readonly studentRate: number;
  readonly aggregatorRate: number;
  readonly drop: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  done(phase: "aggregator" | "meta", loss: number): void;
}

/** Weights that learn by Adam. */
class Learning {
  readonly #names: readonly string[];
  readonly #others: Weights;
  readonly #data: readonly Float64Array[];
  readonly #shapes: readonly (readonly number[])[];
  readonly #moves: readonly ReturnType<typeof adam>[];

  constructor(weights: Weights, names: readonly string[], rate: number) {
    this.#names = names;
    this.#others = weights;
    this.#data = names.map((name) => weights.get(name)!.data.slice());
    this.#shapes = names.map((name) => weights.get(name)!.shape);
    this.#moves = names.map(() => adam(rate));
  }

  /** As values that take a gradient, and the others. */
  values(): { readonly weights: Weights; readonly free: readonly Value[] } {
    const free = this.#data.map((data, i) => variable(data.slice(), this.#shapes[i]!));
    return { weights: new Map([...this.#others, ...this.#names.map((name, i) => [name, free[i]!] as const)]), free };
  }

  against(slopes: readonly Value[]): void {
    for (const [i, { data }] of slopes.entries()) this.#moves[i]!.step(this.#data[i]!, data);
  }

  held(): Weights {
    return new Map([
      ...this.#others,
      ...this.#names.map((name, i) => [name, constant(this.#data[i]!, this.#shapes[i]!)] as const),
    ]);
  }
}

/** Some rows as a value. */
function rowsOf({ x }: RealRows, picked: readonly number[], inputs: number): Value {
  const numbers = new Float64Array(picked.length * inputs);
  for (const [i, row] of picked.entries()) numbers.set(x.subarray(row * inputs, (row + 1) * inputs), i * inputs);
  return constant(numbers, [picked.length, inputs]);
}

/** What the experts see in rows, all but the one that is left out. */
const seen = (experts: readonly ExpertNetwork[], x: Value, without?: number): Value[] =>
  experts.flatMap(({ network, weights }, k) => (k === without ? [] : [network.features(weights, x)]));

/**
 * The outer loss of an episode. Of the support no labels are given.
 */
export function episodeLoss(
  student: { readonly network: Network; readonly weights: Weights },
  aggregator: { readonly weights: Weights; readonly form: AggregatorForm },
  given: {
    readonly support: Value;
    readonly features: readonly Value[];
    readonly query: Value;
    readonly targets: Value;
    readonly rate: number;
    readonly firstOrder: boolean;
    readonly dropping?: { readonly drop: number; readonly random: Random };
  },
): Value {
  const target = aggregated(aggregator.weights, aggregator.form, given.features, given.dropping);
  const { network, weights } = student;
  const { support: x, rate, firstOrder } = given;
  const moved = oneStep(network, weights, { x, target, rate, firstOrder });
  return crossEntropy(network.logits(moved, given.query), given.targets);
}

/** The student and the aggregator, trained. */
export async function metaTrained(setting: MetaSetting): Promise<{ student: Weights; aggregator: Weights }> {
  const { student, experts, domains, form, seed, signal, support } = setting;
  const { network } = student;
  const names = aggregatorSpecs(form).map(({ name }) => name);
  const first = new Learning(freshAggregator(form, seed), names, setting.aggregatorRate);
  const draw = (random: Random, rows: RealRows, count: number) =>
    random.shuffled([...rows.labels.keys()]).slice(0, count);
  const classesOf = (rows: RealRows, picked: readonly number[]) =>
    oneHot(
      picked.map((row) => rows.labels[row]!),
      network.classes,
    );
  for (let step = 0; step < setting.aggregatorSteps; step++) {
    signal.throwIfAborted();
    const random = new Random(seed, "aggregator", step);
    const domain = random.below(domains.length);
    const picked = draw(random, domains[domain]!, 2 * support);
    const without = random.uniform() < 0.5 ? domain : undefined;
    const features = seen(experts, rowsOf(domains[domain]!, picked, network.inputs), without);
    const { weights, free } = first.values();
    const told = linear(weights, "head", aggregated(weights, form, features, { drop: setting.drop, random }));
    const loss = crossEntropy(told, classesOf(domains[domain]!, picked));
    first.against(gradients(loss, free, { once: true }));
    setting.done("aggregator", loss.data[0]!);
    if (step % 16 === 15) await Bun.sleep(0);
  }
  const learnt = names.filter((name) => !name.startsWith("head."));
  const aggregator = new Learning(first.held(), learnt, setting.aggregatorRate);
  const learner = new Learning(
    student.weights,
    trainable(network).map(({ name }) => name),
    setting.studentRate,
  );
  for (let step = 0; step < setting.steps; step++) {
    signal.throwIfAborted();
    const random = new Random(seed, "episode", step);
    const domain = random.below(domains.length);
    const rows = domains[domain]!;
    const picked = draw(random, rows, 2 * support);
    const half = Math.floor(picked.length / 2);
    const unlabelled = rowsOf(rows, picked.slice(0, half), network.inputs);
    const [own, of] = [learner.values(), aggregator.values()];
    const loss = episodeLoss(
      { network, weights: own.weights },
      { weights: of.weights, form },
      {
        support: unlabelled,
        features: seen(experts, unlabelled, experts.length > 1 ? domain : undefined),
        query: rowsOf(rows, picked.slice(half), network.inputs),
        targets: classesOf(rows, picked.slice(half)),
        rate: setting.innerRate,
        firstOrder: setting.firstOrder,
        dropping: { drop: setting.drop, random },
      },
    );
    const slopes = gradients(loss, [...own.free, ...of.free], { once: true });
    learner.against(slopes.slice(0, own.free.length));
    aggregator.against(slopes.slice(own.free.length));
    setting.done("meta", loss.data[0]!);
    if (step % 16 === 15) await Bun.sleep(0);
  }
  return { student: learner.held(), aggregator: aggregator.held() };
}
