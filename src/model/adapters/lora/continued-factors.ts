/** The factors of an adapter that is trained further: from how PEFT's files hold them to how a model does. */

import type { AdapterConfig } from "../../../checkpoint/adapter/config.ts";
import { scaleOf } from "../../../checkpoint/adapter/config.ts";
import { tensorName } from "../../../checkpoint/adapter/keys.ts";
import type { Factors } from "../../../checkpoint/adapter/patch.ts";
import { byExpert } from "../../../checkpoint/adapter/stacked.ts";
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { showShape } from "../../../tensor/tensor.ts";
import type { Target } from "../targets.ts";
import type { LoraEntry } from "./entry.ts";
import { fileTensors, heldShapes, turn } from "./factor-files.ts";
import { expectKnown } from "./lora.ts";
import { frozenBeside, halves } from "./taken-out.ts";

/** What is common to all factors of an adapter. */
export interface FactorReading {
  readonly gpu: Gpu;
  readonly config: AdapterConfig;
  /** Names the adapter in messages. */
  readonly ref: string;
  readonly dropout: number;
  /** Whether the second half of every rank is what is taken out of the base, and stays frozen. */
  readonly halved: boolean;
}

const FOREIGN = "the adapter was trained on another base";

interface Values {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  readonly scale: number;
}

/** On the GPU, as the model holds them. */
function entry({ gpu, dropout, halved }: FactorReading, target: Target, values: Values, nested?: string): LoraEntry {
  const parts = halved ? halves(values.a, values.b, values.rank) : { trained: values, frozen: undefined };
  const shapes = heldShapes(target, parts.trained.rank);
  const made = { a: new Parameter(gpu, ...shapes.a), b: new Parameter(gpu, ...shapes.b) };
  const frozen = parts.frozen && frozenBeside(gpu, made);
  for (const side of ["a", "b"] as const) {
    made[side].write(parts.trained[side]);
    if (parts.frozen) frozen![side].write(parts.frozen[side]);
  }
  const files = fileTensors(target, { ...made, frozen }, nested);
  return { kind: target.kind, ...made, frozen, files, scale: values.scale, dropout };
}

/** Throws UserError unless A is (r, in) and B is (out, r). */
function expectPair({ ref }: FactorReading, module: string, { a, b }: Factors, { into, out }: Target) {
  if (!a || !b)
    throw new UserError(
      `${ref}: ${module} has tensors besides lora_A and lora_B, or lacks one of them`,
      "merge the adapter, then train a new one",
    );
  const rank = a.shape[0]!;
  if (a.shape.join() !== [rank, into].join() || b.shape.join() !== [out, rank].join())
    throw new UserError(
      `${ref}: ${module} has A ${showShape(a.shape)} and B ${showShape(b.shape)}; the layer is ${showShape([out, into])}`,
      FOREIGN,
    );
  return { a: a.values, b: b.values, rank };
}

/** Of a linear layer. `module` is the adapter's own name of the target. */
export function linearEntry(reading: FactorReading, target: Target, module: string, factors: Factors): LoraEntry {
  const { gpu, config, ref } = reading;
  const { out, module: name } = target;
  const { bBias, magnitude, embeddingA, embeddingB } = factors;
  const pair = expectPair(reading, module, embeddingA || embeddingB ? {} : factors, target);
  for (const [what, vector] of Object.entries({ "lora_B bias": bBias, "DoRA magnitude": magnitude }))
    if (vector && vector.values.length !== out)
      throw new UserError(
        `${ref}: the ${what} of ${module} is ${showShape(vector.shape)}, expected ${showShape([out])}`,
        FOREIGN,
      );
  if (config.loraBias && !bBias)
    throw new UserError(
      `${ref}: ${module} has no lora_B bias, though adapter_config.json sets lora_bias`,
      "the file is incomplete",
    );
  const vector = (label: string, values: Float32Array) => {
    const made = new Parameter(gpu, label, [out]);
    made.write(values);
    return made;
  };
  const bias = `base_model.model.${name}.lora_B.bias`;
  return {
    ...entry(reading, target, { ...pair, scale: scaleOf(config, module, pair.rank) }),
    ...(bBias ? { bBias: vector(bias, bBias.values) } : {}),
    ...(magnitude ? { magnitude: vector(tensorName(name, "lora_magnitude_vector"), magnitude.values) } : {}),
  };
}

/** Of an embedding: A (r, V) and B (C, r). */
export function embeddingEntry(reading: FactorReading, target: Target, module: string, factors: Factors): LoraEntry {
  const { embeddingA, embeddingB, a, b } = factors;
  const given = embeddingA && embeddingB && !a && !b ? { a: embeddingA, b: embeddingB } : {};
  const pair = expectPair(reading, module, given, target);
  expectKnown(target, { dora: factors.magnitude !== undefined });
  const held = turn(pair.a, [pair.rank, target.into]);
  return entry(reading, target, { ...pair, a: held, scale: scaleOf(reading.config, module, pair.rank) });
}

/** Of experts that are layers of their own: one pair each, all of one rank and strength. */
export function expertsEntry(
  reading: FactorReading,
  target: Target,
  given: ReadonlyMap<number, { readonly module: string; readonly factors: Factors }>,
): LoraEntry {
  const { config, ref } = reading;
  const { experts, names } = target;
  const missing = names.findIndex((_, e) => !given.has(e));
  if (missing >= 0)
    throw new UserError(
      `${ref} adapts some experts of ${target.module}, but not ${names[missing]}; such an adapter can be run but not trained further`,
      "merge it, then train a new one",
    );
  const pairs = names.map((_, e) => {
    const { module, factors } = given.get(e)!;
    expectKnown(target, { dora: factors.magnitude !== undefined });
    const pair = expectPair(reading, module, factors.bBias ? {} : factors, target);
    return { ...pair, scale: scaleOf(config, module, pair.rank) };
  });
  const { rank, scale } = pairs[0]!;
  if (pairs.some((pair) => pair.rank !== rank || pair.scale !== scale))
    throw new UserError(
      `${ref} adapts the experts of ${target.module} with several ranks or strengths; such an adapter can be run but not trained further`,
      "merge it, then train a new one",
    );
  const side = (letter: "a" | "b", size: number) => {
    const all = new Float32Array(experts * size);
    for (const [e, pair] of pairs.entries()) all.set(pair[letter], e * size);
    return all;
  };
  return entry(reading, target, {
    ...{ a: side("a", rank * target.into), b: side("b", target.out * rank) },
    ...{ rank, scale },
  });
}

/** Of a stack, by the name of its parameter. */
export function stackEntry(
  reading: FactorReading,
  target: Target,
  parameter: string,
  factors: Factors,
  nested: string,
): LoraEntry {
  const { config, ref: where } = reading;
  expectKnown(target, { dora: factors.magnitude !== undefined, dropout: reading.dropout });
  const { experts, out, into, inFirst } = target;
  const own = byExpert(factors, { experts, out, into, inFirst }, config, { parameter, where });
  return entry(reading, target, { ...own, scale: scaleOf(config, parameter, own.rank) }, nested);
}
