/** How each parameter is updated, and the states that this takes. */

import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import { pageTensor } from "../../tensor/paging/page-tensors.ts";
import type { Pages } from "../../tensor/paging/pages.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { bytesOf, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { Optimizer, StateShape, StepNumbers } from "./optimizer.ts";

export interface UpdaterOptions {
  readonly optimizer: Bound<Optimizer>;
  /** Which parameters decay. */
  readonly decays: (parameter: Parameter) => boolean;
  /** Largest global norm of the gradients; 0: no bound. */
  readonly clip: number;
  readonly stateDtype?: "f32" | "bf16";
  /** How weights in bf16 take updates; "stochastic" when left out. */
  readonly weightRounding?: "stochastic" | "nearest" | undefined;
  /** Learning rate of a parameter, times that of the step; 1 when left out. */
  readonly rateOf?: ((parameter: Parameter) => number) | undefined;
  /** The largest learning rate, where weight decay is to be that times the schedule alone. */
  readonly independentOf?: number | undefined;
}

/** Throws TypeError where an optimizer leaves a param of its kernel without a number. */
export function expectNumbers({ name }: Optimizer, params: StepNumbers): StepNumbers {
  const missing = Object.keys(params).find((param) => typeof params[param] !== "number");
  if (missing !== undefined)
    throw new TypeError(
      `optimizer ${name}: ${missing} has no value; is every option that fixed() and numbers() read declared in options?`,
    );
  return params;
}

/** How one parameter is updated. */
export interface Way {
  readonly bound: Bound<Optimizer>;
  /** Times the learning rate. */
  readonly rate: number;
  /** Of parameters that share states: which of them, from 0. */
  readonly turn: number;
  /** Parameters of one key take the same numbers. */
  readonly key: string;
  readonly decays: boolean;
  /** Whether a weight in bf16 is rounded to nearest. */
  readonly toNearest: boolean;
}

export interface HeldState {
  /** On the device as a whole, or in pages, as its parameter is. */
  readonly memory: PooledBuffer | Pages;
  readonly shape: readonly number[];
  readonly dtype: "f32" | "bf16" | "u32";
}

/** A parameter's states. */
export interface Held {
  readonly way: Way;
  readonly states: ReadonlyMap<string, HeldState>;
  /** Whether another parameter holds them. */
  readonly shared: boolean;
}

/** Throws UserError where decay is to be apart from the rate, and is a part of the gradient. */
function wayOf(
  { optimizer, decays, rateOf, independentOf, weightRounding }: UpdaterOptions,
  parameter: Parameter,
): Omit<Way, "turn"> {
  const { method, values } = optimizer;
  const toNearest = weightRounding === "nearest";
  const other = method.instead?.(parameter, values);
  const bound = other?.bound ?? optimizer;
  if (independentOf !== undefined && bound.method.decaysByGradient)
    throw new UserError(
      `--independent-decay: the decay of ${bound.method.name} is a part of the gradient, which the rate multiplies`,
      "leave it out, or take adamw",
    );
  const rate = (other?.rate ?? 1) * (rateOf?.(parameter) ?? 1);
  return { bound, rate, key: `${bound.method.name} x${rate}`, decays: decays(parameter), toNearest };
}

/** Shapes of a parameter's states, by name. */
function shapesOf(parameter: Parameter, { method, values }: Bound<Optimizer>): Readonly<Record<string, StateShape>> {
  if (method.rule) return method.rule.states(parameter, values);
  const packed = Object.entries(method.packed ?? {}).map(([name, { per, dtype }]) => {
    const shape = [Math.ceil(parameter.size / per)];
    return [name, dtype === "u32" ? { words: shape } : shape] as const;
  });
  return Object.fromEntries([...(method.states ?? []).map((name) => [name, parameter.shape] as const), ...packed]);
}

/** Zeroed states. Throws UserError for states that are asked for in bf16 and are not. */
function makeStates(gpu: Gpu, parameter: Parameter, { bound }: Way, dtype: "f32" | "bf16"): Held["states"] {
  const { method } = bound;
  if ((method.rule || method.packed) && dtype === "bf16")
    throw new UserError(
      `--state-dtype bf16: the states of ${method.name} are ${method.rule ? "f32" : "packed"}`,
      "leave it out",
    );
  const isWhole = method.rule ?? method.packed ?? method.refresh ?? method.curvature;
  if (parameter.pages && (isWhole || parameter.dtype === "bf16"))
    throw new UserError(
      parameter.dtype === "bf16"
        ? "--dtype bf16 rounds weights by their place in the whole, and --expert-store stream holds some experts at a time"
        : `--optimizer ${method.name} works on all of a weight at once, and --expert-store stream holds some experts at a time`,
      parameter.dtype === "bf16" ? "train in f32" : "take adamw, or another that goes value by value",
    );
  return new Map(
    Object.entries(shapesOf(parameter, bound)).map(([name, given]): [string, HeldState] => {
      const pages = parameter.pagesBeside(`${name} of ${parameter.name}`, dtype);
      if (pages) return [name, { memory: pages, shape: parameter.shape, dtype }];
      const [shape, held] = "words" in given ? [given.words, "u32" as const] : [given, dtype];
      const bytes = Math.max(16, bytesOf(sizeOf(shape), held));
      const memory = gpu.buffer(bytes, `${name} of ${parameter.name}`);
      gpu.clear(memory.buffer, Math.ceil(bytes / 4) * 4);
      return [name, { memory, shape, dtype: held }];
    }),
  );
}

/** The way and the states of every parameter; some share theirs with the parameter that has the first turn. */
export function holdStates(
  gpu: Gpu,
  parameters: readonly Parameter[],
  options: UpdaterOptions,
): ReadonlyMap<Parameter, Held> {
  const counts = new Map<string, { seen: number; states: Held["states"] }>();
  const all = new Map<Parameter, Held>();
  for (const parameter of parameters) {
    const { key, ...found } = wayOf(options, parameter);
    const { method, values } = found.bound;
    const turns = method.turns?.(values) ?? 1;
    const group = `${key} ${parameter.shape.join()}`;
    const known = counts.get(group);
    const turn = (known?.seen ?? 0) % turns;
    const way = { ...found, turn, key: turns === 1 ? key : `${key} turn ${turn}` };
    const states = known && turn > 0 ? known.states : makeStates(gpu, parameter, way, options.stateDtype ?? "f32");
    counts.set(group, { seen: (known?.seen ?? 0) + 1, states });
    all.set(parameter, { way, states, shared: turn > 0 });
  }
  return all;
}

/** The states of a parameter, or of a page of one, as tensors of a recording. */
export const stateTensors = (rec: Recorder, { name }: Parameter, { states }: Held, page = 0): Record<string, Tensor> =>
  Object.fromEntries(
    [...states].map(([state, { memory, shape, dtype }]) => [
      state,
      "list" in memory
        ? pageTensor(rec, memory, page, shape, dtype)
        : rec.state(`${state} of ${name}`, shape, memory.buffer, dtype),
    ]),
  );

/** The buffer of a state. Throws Error of one in pages. */
export function wholeState({ memory }: HeldState): GPUBuffer {
  if ("list" in memory) throw new Error("a state in pages has no one buffer");
  return memory.buffer;
}
