/**
 * Trains a neural process to search: on random smooth functions of a search's own space it learns to say where the
 * values are and which candidate to try, before the first trial of the search itself.
 *
 * Maraval et al. 2023, https://arxiv.org/abs/2305.15930: the loss is that of REINFORCE on the improvement of the best
 * value, plus lambda times -log p(values of the candidates | history), because improvements are rare: after t random
 * points the next is the best with probability 1 / t. Departs from it in the network (neural-process.ts) and in the
 * baseline: the mean return of the other searches of the same function from the same points.
 */
import { Random } from "../../data/random.ts";
import { coordinatesOf, pointAt, type Space } from "../../run/searching/space.ts";
import { mirrored } from "./cma.ts";
import { scaleOf } from "./even-scores.ts";
import { type Cotangents, type History, NeuralProcess, type Pass } from "./neural-process.ts";

/** The discount of later improvements. */
const GAMMA = 0.98;
/** Functions per training step, searches of each, trials of a search after its first points, candidates of a trial. */
const [FUNCTIONS, SEARCHES, TRIALS, CANDIDATES] = [2, 3, 12, 20];
/** Waves of a function. */
const WAVES = 24;
/** Points that a training search may begin with at most. */
const LONGEST = 60;
const RATE = 0.01;

export interface MetaTraining {
  readonly space: Space;
  /** Trials of the search to come. */
  readonly budget: number;
  /** Random points that it begins with. */
  readonly initial: number;
  readonly steps: number;
  /** The weight of -log p. */
  readonly lambda: number;
  readonly seed: number;
}

/** A network and its parameters. */
export interface Trained {
  readonly network: NeuralProcess;
  readonly theta: Float64Array;
}

/** Candidates of a trial in the unit cube: half anywhere, half near the best, at all scales. */
export function candidatesOf(random: Random, places: number, best: readonly number[], count: number): number[][] {
  return Array.from({ length: count }, (_, c) => {
    if (c % 2 === 0) return Array.from({ length: places }, () => random.uniform());
    const width = 0.3 * 0.01 ** random.uniform();
    return best.map((place) => mirrored(place + width * random.normal()));
  });
}

/** What a network sees of scores at points: values of mean 0 and variance 1, broken ones raised. */
export function historyOf(points: readonly (readonly number[])[], scores: readonly number[], left: number): History {
  return { points: Float64Array.from(points.flat()), values: Float64Array.from(scores, scaleOf(scores)), left };
}

/** A random smooth function of so many coordinates, about normal at every point: waves of one scale of lengths. */
export function smoothFunction(random: Random, coordinates: number): (x: readonly number[]) => number {
  const length = 0.1 * 15 ** random.uniform() * Math.sqrt(coordinates);
  const waves = Array.from({ length: WAVES }, () => ({
    size: random.normal() * Math.sqrt(2 / WAVES),
    phase: 2 * Math.PI * random.uniform(),
    turns: Array.from({ length: coordinates }, () => random.normal() / length),
  }));
  return (x) => {
    let sum = 0;
    for (const { size, phase, turns } of waves) {
      let angle = phase;
      for (let k = 0; k < turns.length; k++) angle += turns[k]! * x[k]!;
      sum += size * Math.cos(angle);
    }
    return sum;
  };
}

/** Adam with a rate that falls to nothing along a cosine; the norm of the gradient is cut at 1. */
class Adam {
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #step = 0;

  constructor(
    size: number,
    private readonly steps: number,
  ) {
    this.#first = new Float64Array(size);
    this.#second = new Float64Array(size);
  }

  update(theta: Float64Array, gradient: Float64Array): void {
    const rate = RATE * (0.5 + 0.5 * Math.cos((Math.PI * this.#step) / this.steps));
    this.#step++;
    const cut = 1 / Math.max(1, Math.hypot(...gradient));
    const [bias, bias2] = [1 - 0.9 ** this.#step, 1 - 0.99 ** this.#step];
    for (let i = 0; i < theta.length; i++) {
      const g = gradient[i]! * cut;
      this.#first[i]! += 0.1 * (g - this.#first[i]!);
      this.#second[i]! += 0.01 * (g * g - this.#second[i]!);
      theta[i]! -= (rate * (this.#first[i]! / bias)) / (Math.sqrt(this.#second[i]! / bias2) + 1e-8);
    }
  }
}

/** A trial of a training search: what the network said, what it chose, what that improved. */
interface Step {
  readonly pass: Pass;
  readonly policy: Float64Array;
  readonly chosen: number;
  /** Values of the candidates on the scale of the history. */
  readonly targets: Float64Array;
  readonly reward: number;
}

/** Probabilities of the candidates. */
function policyOf(acquisition: Float64Array): Float64Array {
  const top = Math.max(...acquisition);
  const powers = acquisition.map((a) => Math.exp(a - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

interface Start {
  readonly places: readonly number[][];
  readonly trials: number;
  readonly budget: number;
  readonly f: (places: readonly number[]) => number;
}

/** A function and the points that all its searches begin with; as many as the search to come has at some time. */
function begin({ space, budget, initial }: MetaTraining, random: Random, coordinates: number): Start {
  const wave = smoothFunction(random, coordinates);
  const f = (places: readonly number[]) => wave(coordinatesOf(space, pointAt(space, places)));
  const trials = Math.max(1, Math.min(TRIALS, budget - initial));
  const most = Math.max(initial, Math.min(LONGEST, budget - trials));
  const count = Math.round(initial * (most / initial) ** random.uniform());
  const places: number[][] = [];
  let best = space.map(() => 0.5);
  for (let i = 0; i < count; i++) {
    const place = candidatesOf(random, space.length, best, 2)[i < initial ? 0 : i % 2]!;
    if (i === 0 || f(place) > f(best)) best = place;
    places.push(place);
  }
  return { places, trials, budget: Math.max(budget, count + trials), f };
}

/** Searches a function by the policy. */
function search({ network, theta }: Trained, space: Space, start: Start, random: Random): Step[] {
  const places = [...start.places];
  const points = places.map((place) => coordinatesOf(space, pointAt(space, place)));
  const scores = places.map(start.f);
  const steps: Step[] = [];
  for (let t = 0; t < start.trials; t++) {
    const best = Math.max(...scores);
    const tried = candidatesOf(random, space.length, places[scores.indexOf(best)]!, CANDIDATES);
    const coordinates = tried.map((place) => coordinatesOf(space, pointAt(space, place)));
    const history = historyOf(points, scores, 1 - scores.length / start.budget);
    const pass = network.forward(theta, history, Float64Array.from(coordinates.flat()));
    const policy = policyOf(pass.acquisition);
    const chosen = random.weighted([...policy]);
    const values = tried.map(start.f);
    const scale = scaleOf(scores);
    const targets = Float64Array.from(values, (y) => Math.min(Math.max(scale(y), -5), 5));
    steps.push({ pass, policy, chosen, targets, reward: Math.max(0, values[chosen]! - best) });
    places.push(tried[chosen]!);
    points.push(coordinates[chosen]!);
    scores.push(values[chosen]!);
  }
  return steps;
}

/** Discounted sums of the rewards from each step on. */
function returnsOf(steps: readonly Step[]): number[] {
  const returns = steps.map(({ reward }) => reward);
  for (let t = steps.length - 2; t >= 0; t--) returns[t]! += GAMMA * returns[t + 1]!;
  return returns;
}

/** The gradient of `weight` (-advantage log policy + lambda mean(-log p)) with regard to the outputs. */
function cotangentsOf({ pass, policy, chosen, targets }: Step, advantage: number, lambda: number, weight: number) {
  const m = targets.length;
  const result: Cotangents = {
    mean: new Float64Array(m),
    logStd: new Float64Array(m),
    acquisition: policy.map((p, c) => weight * advantage * (p - (c === chosen ? 1 : 0))),
  };
  for (let q = 0; q < m; q++) {
    const miss = (pass.mean[q]! - targets[q]!) * Math.exp(-pass.logStd[q]!);
    result.mean[q] = ((weight * lambda) / m) * miss * Math.exp(-pass.logStd[q]!);
    result.logStd[q] = ((weight * lambda) / m) * (1 - miss * miss);
  }
  return result;
}

/** Trains for `steps` steps; the same for the same arguments. */
export function metaTrain(setup: MetaTraining): Trained {
  const { space, steps, lambda, seed } = setup;
  const first = new Random(seed, "nap", "network");
  const coordinates = coordinatesOf(
    space,
    space.map((gene) => gene.default),
  ).length;
  const network = new NeuralProcess(coordinates);
  const trained = { network, theta: network.fresh(first) };
  const adam = new Adam(network.size, steps);
  let spread = 0.1; // running mean square of the advantages
  for (let step = 0; step < steps; step++) {
    const random = new Random(seed, "nap", "training", step);
    const gradient = new Float64Array(network.size);
    let squares = 0;
    for (let k = 0; k < FUNCTIONS; k++) {
      const start = begin(setup, random, coordinates);
      const searches = Array.from({ length: SEARCHES }, () => search(trained, space, start, random));
      const returns = searches.map(returnsOf);
      const weight = 1 / (FUNCTIONS * SEARCHES * start.trials);
      for (const [s, own] of searches.entries())
        for (const [t, done] of own.entries()) {
          const others = (returns.reduce((sum, r) => sum + r[t]!, 0) - returns[s]![t]!) / (SEARCHES - 1);
          const advantage = returns[s]![t]! - others;
          squares += weight * advantage ** 2;
          const cotangents = cotangentsOf(done, advantage / Math.sqrt(spread), lambda, weight);
          network.backward(trained.theta, done.pass, cotangents, gradient);
        }
    }
    spread += 0.05 * (squares - spread);
    adam.update(trained.theta, gradient);
  }
  return trained;
}
