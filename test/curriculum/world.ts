/** Models that are formulas: what a sampler hears when it is tried without a model. */
import type {
  Feedback,
  OrderingMethod,
  Sampler,
  SamplerMethod,
  SamplerSetup,
  Segment,
} from "../../src/curriculum/contract.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();
const methods = await loadMethods("curriculum");
/** All methods that draw from groups, and all that order rows. */
export const samplers = methods.filter((method): method is SamplerMethod => "make" in method);
export const orderings = methods.filter((method): method is OrderingMethod => "rows" in method);

export const groupsOf = (rows: Record<string, number>, length = 10): SamplerSetup["groups"] =>
  Object.entries(rows).map(([name, count]) => ({ name, rows: count, tokens: count * length }));

export interface Given {
  readonly groups?: SamplerSetup["groups"];
  readonly steps?: number;
  readonly seed?: number;
  readonly values?: Record<string, unknown>;
}

// biome-ignore lint/suspicious/noExplicitAny: methods differ in their options, and values are checked by what they do
export type AnySampler = SamplerMethod<any>;

export function make(method: AnySampler, given: Given = {}): Sampler {
  const { groups = groupsOf({ a: 10, b: 20, c: 30 }), steps = 1000, seed = 0 } = given;
  const { values } = bindDefaults(method, given.values);
  return method.make({ groups, steps, seed, gpu, values });
}

/** Losses of the groups after `steps` more under a mixture. */
export interface World {
  readonly losses: readonly number[];
  train(probs: readonly number[], steps: number): void;
}

/** Every loss falls by answer_ij for a step on group j. */
export function linearWorld(start: readonly number[], answer: readonly (readonly number[])[]): World {
  let losses = [...start];
  return {
    get losses() {
      return losses;
    },
    train(probs, steps) {
      losses = losses.map((loss, i) => loss - steps * answer[i]!.reduce((sum, a, j) => sum + a * probs[j]!, 0));
    },
  };
}

/** Losses fall to a floor, each at its own speed: floor + height exp(-speed * steps on it). */
export function saturatingWorld(floor: readonly number[], height: readonly number[], speed: readonly number[]): World {
  const trained = floor.map(() => 0);
  return {
    get losses() {
      return floor.map((low, i) => low + height[i]! * Math.exp(-speed[i]! * trained[i]!));
    },
    train(probs, steps) {
      for (const [i, p] of probs.entries()) trained[i]! += p * steps;
    },
  };
}

export interface Heard {
  readonly segment: Segment;
  readonly step: number;
}

export interface Drive {
  /** Changes what the sampler hears. */
  readonly hear?: (feedback: Feedback) => Feedback;
  /** Replaces the sampler after every update. */
  readonly next?: (sampler: Sampler) => Sampler;
  /** Rows of a step. */
  readonly batch?: number;
}

/** Trains for so many steps; yields after every update, and gives every segment with the step at which it began. */
function* course(
  first: Sampler,
  world: World,
  steps: number,
  { hear, next, batch = 8 }: Drive,
): Generator<void | Promise<void>, Heard[]> {
  let sampler = first;
  const heard: Heard[] = [];
  for (let step = 0; step < steps; ) {
    const segment = sampler.segment();
    heard.push({ segment, step });
    if (heard.length > 2 * steps + 2) throw new Error("the sampler does not let the training continue");
    const before = [...world.losses];
    const taken = Math.min(segment.steps, steps - step);
    world.train(segment.probs, taken);
    step += taken;
    if (taken < segment.steps) break;
    const drawn = segment.probs.map((p) => Math.round(p * taken * batch));
    const training = world.losses.map((loss, i) => (drawn[i] ? (loss + before[i]!) / 2 : Number.NaN));
    // Gradients whose products with that of the held-out rows fall as losses do.
    const alignments = world.losses.map((loss, i) => ({ product: before[i]! - loss, norm: Math.abs(loss) / 10 }));
    const feedback = { step, losses: [...world.losses], training, alignments, drawn };
    yield sampler.update(hear ? hear(feedback) : feedback);
    if (next) sampler = next(sampler);
  }
  return heard;
}

/** Trains a sampler whose updates are done at once. */
export function drive(sampler: Sampler, world: World, steps: number, options: Drive = {}): Heard[] {
  const rounds = course(sampler, world, steps, options);
  for (;;) {
    const { done, value } = rounds.next();
    if (done) return value as Heard[];
    if (value) throw new Error("the update of this sampler is to be awaited: use driveAny");
  }
}

/** Trains any sampler. */
export async function driveAny(sampler: Sampler, world: World, steps: number, options: Drive = {}): Promise<Heard[]> {
  const rounds = course(sampler, world, steps, options);
  for (;;) {
    const { done, value } = rounds.next();
    if (done) return value as Heard[];
    await value;
  }
}
