/** Models that are formulas: what a sampler hears when it is tried without a model. */
import type { Feedback, Sampler, SamplerMethod, SamplerSetup, Segment } from "../../src/curriculum/contract.ts";
import type { Options } from "../../src/method/options.ts";
import { methodFiles } from "../../src/method/registry.ts";

/** Every method of a family, with the name of its file. */
export async function exported<T>(family: "sampler" | "ordering" | "selector"): Promise<{ file: string; method: T }[]> {
  const kind = family === "selector" ? "selector" : "curriculum";
  const files = [...methodFiles(kind)].filter(([, path]) => path.includes(`/${family}s/`));
  return Promise.all(files.map(async ([file, path]) => ({ file, method: (await import(path)).method as T })));
}

/** Default values of a table of options, and what is given. */
export function valuesOf(options: Options, given: Record<string, unknown> = {}): never {
  const defaults = Object.entries(options).map(([name, spec]) => [name, spec.default]);
  return { ...Object.fromEntries(defaults), ...given } as never;
}

export const groupsOf = (rows: Record<string, number>, length = 10): SamplerSetup["groups"] =>
  Object.entries(rows).map(([name, count]) => ({ name, rows: count, tokens: count * length }));

export interface Given {
  readonly groups?: SamplerSetup["groups"];
  readonly steps?: number;
  readonly seed?: number;
  readonly graph?: readonly (readonly number[])[];
  readonly values?: Record<string, unknown>;
}

// biome-ignore lint/suspicious/noExplicitAny: methods differ in their options, and values are checked by what they do
export type AnySampler = SamplerMethod<any>;

export function make(method: AnySampler, given: Given = {}): Sampler {
  const { groups = groupsOf({ a: 10, b: 20, c: 30 }), steps = 1000, seed = 0, graph, values } = given;
  return method.make({ groups, steps, seed, values: valuesOf(method.options, values), ...(graph && { graph }) });
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

/** Trains for so many steps; gives every segment with the step at which it began. */
export function drive(first: Sampler, world: World, steps: number, { hear, next, batch = 8 }: Drive = {}): Heard[] {
  let sampler = first;
  const heard: Heard[] = [];
  for (let step = 0; step < steps; ) {
    const segment = sampler.segment();
    heard.push({ segment, step });
    if (heard.length > 2 * steps + 2) throw new Error("the sampler does not let the training go on");
    const before = [...world.losses];
    const taken = Math.min(segment.steps, steps - step);
    world.train(segment.probs, taken);
    step += taken;
    if (taken < segment.steps) break;
    const drawn = segment.probs.map((p) => Math.round(p * taken * batch));
    const training = world.losses.map((loss, i) => (drawn[i] ? (loss + before[i]!) / 2 : Number.NaN));
    const feedback = { step, losses: [...world.losses], training, drawn };
    sampler.update(hear ? hear(feedback) : feedback);
    if (next) sampler = next(sampler);
  }
  return heard;
}
