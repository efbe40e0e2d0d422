/** One parameter's update, recorded: by an optimizer's kernel, or by its rule in ops. */

import { UserError } from "../../errors.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Bound } from "../../method/bind.ts";
import { statePages } from "../../tensor/paging/page-tensors.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { sizeOf, type Tensor, viewOf } from "../../tensor/tensor.ts";
import { dynamicParams, numberName, type Optimizer } from "./optimizer.ts";
import { expectNumbers, type Held, stateTensors, type Way } from "./optimizer-states.ts";

/** Where a parameter's update is recorded. */
export interface UpdatePlace {
  readonly rec: Recorder;
  readonly clip: Tensor;
  readonly gradient: Tensor;
  /** Of a parameter in pages: the gradients of all, of which `gradient` is the first. */
  readonly pages?: readonly Tensor[] | undefined;
  readonly index: number;
  /** Of parameters. */
  readonly count: number;
}

const changingOf = ({ method, values }: Bound<Optimizer>): string[] =>
  Object.keys(expectNumbers(method, method.numbers(values, { t: 1, lr: 0, decay: 0 })));

const flagsOf = ({ dtype }: Parameter, { toNearest }: Pick<Way, "toNearest">): string[] =>
  dtype === "bf16" ? ["weight_bf16", ...(toNearest ? ["weight_nearest"] : [])] : [];

/** Records what an optimizer does to a parameter at every step. Throws UserError where the adapter does not bind it. */
export function recordUpdate(place: UpdatePlace, parameter: Parameter, held: Held): void {
  const { rec, pages } = place;
  if (held.way.bound.method.rule) recordRule(place, parameter, held);
  else if (pages && parameter.pages) {
    const weights = statePages(rec, parameter.pages, parameter.shape, parameter.dtype);
    for (const [i, gradient] of pages.entries())
      recordKernel({ ...place, gradient }, parameter, held, {
        weight: weights[i]!,
        states: stateTensors(rec, parameter, held, i),
      });
  } else {
    const weight = rec.state(parameter.name, parameter.shape, parameter.buffer, parameter.dtype);
    recordKernel(place, parameter, held, { weight, states: stateTensors(rec, parameter, held) });
  }
}

/** Records the optimizer's kernel, some values at a time where an adapter binds no more. */
function recordKernel(
  { rec, clip, gradient, index, count }: UpdatePlace,
  parameter: Parameter,
  held: Held,
  given: { readonly weight: Tensor; readonly states: Readonly<Record<string, Tensor>> },
): void {
  const { way } = held;
  const { weight } = given;
  const { method, values } = way.bound;
  const states = Object.entries(given.states);
  const isBf16 = states.some(([, { dtype }]) => dtype === "bf16");
  const all = sizeOf(weight.shape);
  for (const { index: part, start, count: size, of } of stretches(rec, all)) {
    const partOf = (name: string, x: Tensor): Tensor => {
      const per = method.packed?.[name]?.per;
      if (per === undefined) return of(x);
      return size === all ? x : viewOf(x, start / per, [Math.ceil(size / per)]);
    };
    rec.step({
      kernel: method.kernel!,
      flags: [...flagsOf(parameter, way), ...(isBf16 ? ["state_bf16"] : [])],
      bind: {
        clip,
        gradient: of(gradient),
        weight: of(weight),
        ...Object.fromEntries(states.map(([name, x]) => [name, partOf(name, x)])),
      },
      params: {
        n4: Math.ceil(size / 4),
        ...(method.packed ? { n: size } : {}),
        ...expectNumbers(method, method.fixed(values)),
        ...dynamicParams(way.key, changingOf(way.bound), way.decays),
        key: index + part * count,
        seed: dynamic("seed"),
      },
      groups: spanGroups(Math.ceil(size / 4)),
    });
  }
}

/** Throws UserError for a parameter that the adapter does not bind at once. */
function refuseLarge(rec: Recorder, { name, size }: Parameter, method: string): void {
  if (stretches(rec, size).length > 1)
    throw new UserError(
      `--optimizer ${method}: ${name} is larger than this adapter binds at once`,
      "take adamw, or freeze it",
    );
}

function clippedOf({ rec, clip, gradient }: UpdatePlace, { name, shape, size }: Parameter): Tensor {
  const clipped = rec.scratch(shape, `clipped gradient of ${name}`);
  const n4 = Math.ceil(size / 4);
  rec.step({
    kernel: "train/clip-gradient",
    bind: { gradient, clip, clipped },
    params: { n4 },
    groups: spanGroups(n4),
  });
  return clipped;
}

/** The weights in f32. */
function readWeight(rec: Recorder, parameter: Parameter, weight: Tensor): Tensor {
  const read = rec.scratch(parameter.shape, `${parameter.name} in f32`);
  const n4 = Math.ceil(parameter.size / 4);
  rec.step({
    kernel: "train/read-weight",
    flags: parameter.dtype === "bf16" ? ["weight_bf16"] : [],
    bind: { weight, values: read },
    params: { n4 },
    groups: spanGroups(n4),
  });
  return read;
}

function keepStates(
  { rec, clip }: Pick<UpdatePlace, "rec" | "clip">,
  states: Readonly<Record<string, Tensor>>,
  found: Readonly<Record<string, Tensor>>,
): void {
  for (const [name, value] of Object.entries(found)) {
    const n4 = Math.ceil(sizeOf(value.shape) / 4);
    const bind = { clip, value, state: states[name]! };
    rec.step({ kernel: "train/keep-state", bind, params: { n4 }, groups: spanGroups(n4) });
  }
}

/**
 * Records the optimizer's rule; what it gives is stored by kernels that leave everything alone where the gradients are
 * not finite.
 */
function recordRule(place: UpdatePlace, parameter: Parameter, held: Held): void {
  const { rec, clip, index } = place;
  const { way } = held;
  const { method, values } = way.bound;
  refuseLarge(rec, parameter, method.name);
  const weight = rec.state(parameter.name, parameter.shape, parameter.buffer, parameter.dtype);
  const states = stateTensors(rec, parameter, held);
  const found = method.rule!.record(rec, {
    gradient: clippedOf(place, parameter),
    weight: () => readWeight(rec, parameter, weight),
    states,
    number: (name) => dynamic(numberName(way.key, name, way.decays)),
    values,
  });
  keepStates(place, states, found.states);
  const n4 = Math.ceil(parameter.size / 4);
  rec.step({
    kernel: "train/apply-update",
    flags: flagsOf(parameter, way),
    bind: { clip, update: found.update, weight },
    params: {
      n4,
      ...dynamicParams(way.key, ["shrink", "rate"], way.decays),
      key: index,
      seed: dynamic("seed"),
    },
    groups: spanGroups(n4),
  });
}

/** Records what an optimizer chooses anew from the gradient of a step. */
export function recordRefresh(place: UpdatePlace, parameter: Parameter, held: Held): void {
  const { method, values } = held.way.bound;
  refuseLarge(place.rec, parameter, method.name);
  const states = stateTensors(place.rec, parameter, held);
  const gradient = clippedOf(place, parameter);
  keepStates(place, states, method.refresh!.record!(place.rec, { gradient, states, values }));
}

/** Records that the weights become those that are measured; before the first step they stay. */
export function recordMeasured(place: UpdatePlace, parameter: Parameter, held: Held): void {
  const { rec, clip, index } = place;
  const { method, values } = held.way.bound;
  const weight = rec.state(parameter.name, parameter.shape, parameter.buffer, parameter.dtype);
  const states = stateTensors(rec, parameter, held);
  const update = method.measured!(rec, { weight: () => readWeight(rec, parameter, weight), states, values });
  const n4 = Math.ceil(parameter.size / 4);
  rec.step({
    kernel: "train/apply-update",
    flags: flagsOf(parameter, held.way),
    bind: { clip, update, weight },
    params: { n4, shrink: 0, rate: -1, key: index, seed: 0 },
    groups: spanGroups(n4),
  });
}
