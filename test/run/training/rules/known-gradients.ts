/** Update rules on gradients that are known: what they leave of one of each part. */
import type { UpdateRule } from "../../../../src/run/training/update-rule.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../../support/gpu.ts";

const gpu = await sharedGpu();

/** Odd sizes; the last is more than one sum of squares holds. */
export const SIZES = [1, 3, 257, 17_000];
export const COUNT = SIZES.reduce((a, b) => a + b, 0);

export interface Left {
  readonly gradient: Float32Array;
  readonly weights: Float32Array;
  /** Parts in the order of their passes, and how many passes reported. */
  readonly passes: readonly string[];
  readonly reports: number;
}

/**
 * What a rule leaves after a step over `groups`. `gradient` gives that of a part at weights over all parameters, which
 * begin at `start`.
 */
export async function left(
  make: (parameters: readonly Parameter[]) => UpdateRule,
  {
    groups,
    gradient,
    start = new Float32Array(COUNT),
    step = 1,
  }: {
    readonly groups: readonly string[];
    readonly gradient: (part: string, weights: Float32Array) => Float32Array;
    readonly start?: Float32Array;
    readonly step?: number;
  },
): Promise<Left> {
  const parameters = SIZES.map((size, i) => new Parameter(gpu, `w${i}`, [size]));
  const places = SIZES.map((_, i) => SIZES.slice(0, i).reduce((a, b) => a + b, 0));
  const slice = (all: Float32Array, i: number) => all.slice(places[i]!, places[i]! + SIZES[i]!);
  const whole = async (of: (parameter: Parameter) => GPUBuffer) => {
    const found = await Promise.all(parameters.map((p) => gpu.readFloats(of(p), p.size)));
    return Float32Array.from(found.flatMap((part) => [...part]));
  };
  for (const [i, parameter] of parameters.entries()) parameter.write(slice(start, i));
  const rule = make(parameters);
  const passes: string[] = [];
  let reports = 0;
  const pass = async (part: string, { fresh, report }: { fresh: boolean; report: boolean }) => {
    passes.push(part);
    if (report) reports++;
    const own = gradient(part, await whole((p) => p.buffer));
    const before = fresh ? new Float32Array(COUNT) : await whole((p) => p.gradient);
    const sum = own.map((value, i) => value + before[i]!);
    for (const [i, parameter] of parameters.entries())
      gpu.write(parameter.gradient, 0, new Uint8Array(slice(sum, i).buffer));
  };
  if (rule.combine) await rule.combine(step, groups, pass);
  else await rule.part!(step, (options) => pass(groups[0]!, options), groups[0]!);
  const result = { gradient: await whole((p) => p.gradient), weights: await whole((p) => p.buffer), passes, reports };
  rule.free?.();
  for (const parameter of parameters) parameter.free();
  return result;
}

export const product = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);
