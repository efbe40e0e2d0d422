/**
 * Gates of 0 and 1 on units of a model, which small networks choose by each input:
 *
 *   g = [sigmoid(B relu(A pool(x) + a) + b) > 1/2], with the gradient of the sigmoid; x is what the block reads
 *
 * A gate multiplies what the layer behind a unit reads (heads, hidden units), or what a block adds to the residual
 * stream. The mean over an image's tokens is what the network sees; of a language model each token has gates of its
 * own, since a mean would see later tokens.
 */
import { UserError } from "../../errors.ts";
import { keyedNormals } from "../../keyed-random.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { mainStack } from "../../model/names.ts";
import type { RecordOptions } from "../../model/record-options.ts";
import { anatomyOf } from "../../model/structure/anatomy.ts";
import { type Reading, readingsOf } from "../../model/structure/reads.ts";
import { widthSpaces } from "../../model/structure/slice.ts";
import { shapedModel } from "../../model/structure/subnet.ts";
import { relu } from "../../tensor/ops/activation.ts";
import {
  add,
  addScalar,
  isPositive,
  mul,
  neg,
  scale,
  sigmoid,
  stopGradient,
  sub,
  sumTo,
} from "../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Layer, layerBeside, parametersOf, through } from "../beside.ts";

/** What has a gate: blocks, heads with those that share their keys and values, or hidden units. */
export type GatedUnit = "layer" | "head" | "ffn";

/** Width of the small networks. */
const INNER = 16;
/** What gates begin with before the sigmoid: open. */
const OPEN = 2;

/** Units that have one network of gates: those of a space, or a block. */
export interface GateGroup {
  /** Of the space; of a block its number. */
  readonly id: string;
  /** Number of the block, or of the layer of a perceptron, whose input the network reads. */
  readonly layer: number;
  readonly units: number;
  /** Weights of the model that each unit has. */
  readonly cost: number;
}

/** What a pass gave: gates by group, (rows, units), 0 or 1. */
export type RecordedGates = ReadonlyMap<string, Tensor>;

/** 0 or 1 by the sign of z, with the gradient of the sigmoid. */
export function straightThrough(rec: Recorder, z: Tensor): Tensor {
  const p = sigmoid(rec, z);
  return add(rec, isPositive(rec, z), sub(rec, p, stopGradient(rec, p)));
}

/** Mean over the tokens of each row: (B T, C) -> (B, C); each token by itself of a language model. */
export function pooled(rec: Recorder, x: Tensor, inputs: Inputs): Tensor {
  const [rows = 0, width = 0] = x.shape;
  if ("ids" in inputs || rows === inputs.batch) return x;
  const tokens = rows / inputs.batch;
  const whole = rec.reshape(x, [inputs.batch, tokens, width]);
  return rec.reshape(scale(rec, sumTo(rec, whole, [inputs.batch, 1, width]), 1 / tokens), [inputs.batch, width]);
}

/** x (N, units * size) times gates (R, units), where each row of gates is of N / R neighbouring rows. */
export function gatedUnits(rec: Recorder, x: Tensor, gates: Tensor): Tensor {
  const [n = 0, width = 0] = x.shape;
  const [rows = 1, units = 1] = gates.shape;
  const parts = rec.reshape(x, [rows, n / rows, units, width / units]);
  return rec.reshape(mul(rec, parts, rec.reshape(gates, [rows, 1, units, 1])), x.shape);
}

export class Gates {
  readonly groups: readonly GateGroup[];
  readonly unit: GatedUnit;
  readonly #readings: ReadonlyMap<string, Reading>;
  readonly #networks: ReadonlyMap<string, readonly [Layer, Layer]>;

  /** Draws networks by (seed, name). Throws UserError for a model without such units. */
  constructor(model: Model, ref: string, unit: GatedUnit, seed: number) {
    this.unit = unit;
    const whole = shapedModel(model, ref);
    const anatomy = anatomyOf(whole);
    const kind = unit === "head" ? "heads" : "inner";
    const spaces = unit === "layer" ? [] : widthSpaces(anatomy).filter((space) => space.kind === kind);
    this.#readings = readingsOf(anatomy, spaces);
    this.groups =
      unit === "layer" ? blocksOf(model, ref) : spaces.map(({ id, layer, units }) => ({ id, layer, units, cost: 0 }));
    if (this.groups.length === 0)
      throw new UserError(
        `${ref} has no ${unit === "head" ? "heads" : unit === "layer" ? "blocks" : "hidden units"} that are known`,
        "gates are for decoders of the Llama family, gpt2, vit and mlp",
      );
    if (unit !== "layer")
      this.groups = this.groups.map((group) => {
        const weights = [...anatomy.axes].filter(([, axes]) => axes.flat().some(({ space }) => space === group.id));
        const sizes = weights.map(([name]) => model.parameters.get(name)?.size ?? 0);
        return { ...group, cost: sizes.reduce((a, b) => a + b, 0) / group.units };
      });
    this.#networks = new Map(
      this.groups.map(({ id, layer, units }) => {
        const name = `gates of ${id}`;
        const width = widthBefore(model, layer);
        const first = layerBeside(model.gpu, `${name}.0`, [width, INNER], { seed });
        const second = layerBeside(model.gpu, `${name}.1`, [INNER, units], "zero");
        second.weight.write(keyedNormals(INNER * units, 0.1, seed, second.weight.name));
        second.bias.write(new Float32Array(units).fill(OPEN));
        return [id, [first, second]];
      }),
    );
  }

  get parameters(): Parameter[] {
    return parametersOf([...this.#networks.values()].flat());
  }

  /** The last layer of a group's network, for tests. */
  lastLayer(id: string): Layer {
    return this.#networks.get(id)![1];
  }

  /** How a pass goes through the gates, which are whole when the pass is recorded. */
  through(
    rec: Recorder,
    inputs: Inputs,
  ): { readonly options: Pick<RecordOptions, "reads" | "replace">; readonly gates: RecordedGates } {
    const gates = new Map<string, Tensor>();
    const before = new Map<number, Tensor>();
    const byLayer = new Map(this.groups.map((group) => [group.layer, group]));
    const gateOf = ({ id, layer }: GateGroup): Tensor => {
      const known = gates.get(id);
      if (known) return known;
      const x = before.get(layer);
      const network = this.#networks.get(id);
      if (!x || !network) throw new Error(`nothing was noted before ${id}`);
      const z = through(rec, relu(rec, through(rec, pooled(rec, x, inputs), network[0])), network[1]);
      const made = straightThrough(rec, z);
      gates.set(id, made);
      return made;
    };
    const replace = (name: string, x: Tensor): Tensor => {
      const [, index] = /^hidden\.(\d+)$/.exec(name) ?? [];
      if (index === undefined) return x;
      const group = this.unit === "layer" ? byLayer.get(Number(index) - 1) : undefined;
      const into = before.get(Number(index) - 1);
      const kept = group && into ? gatedBlock(rec, x, into, gateOf(group)) : x;
      before.set(Number(index), kept);
      return kept;
    };
    const reads = (module: string, x: Tensor): Tensor => {
      const reading = this.#readings.get(module);
      const group = reading && this.groups.find(({ id }) => id === reading.space.id);
      return group ? gatedUnits(rec, x, gateOf(group)) : x;
    };
    return { options: { replace, ...(this.unit === "layer" ? {} : { reads }) }, gates };
  }
}

/** What leaves a block where its gate is 1, what enters it where it is 0; both to the bit. */
function gatedBlock(rec: Recorder, y: Tensor, into: Tensor, gate: Tensor): Tensor {
  const closed = addScalar(rec, neg(rec, gate), 1);
  return add(rec, gatedUnits(rec, y, gate), gatedUnits(rec, into, closed));
}

/** Blocks on a residual stream. */
function blocksOf(model: Model, ref: string): GateGroup[] {
  const whole = shapedModel(model, ref);
  const stack = mainStack(whole);
  if (!stack || /^mlp/.test(model.architecture.name)) return [];
  return Array.from({ length: stack.count }, (_, layer) => {
    const own = [...model.parameters].filter(([name]) => name.startsWith(`${stack.prefix}.${layer}.`));
    return { id: `${layer}`, layer, units: 1, cost: own.reduce((sum, [, { size }]) => sum + size, 0) };
  });
}

/** Numbers of the state that enters a block, or a layer of a perceptron. */
function widthBefore({ architecture, parameters, sizes, specs }: Model, layer: number): number {
  if (!/^mlp/.test(architecture.name)) return sizes.width;
  const weight = parameters.get(`layers.${layer}.weight`);
  if (!weight || specs.length === 0) throw new RangeError(`there is no layer ${layer}`);
  return weight.shape[1] ?? 0;
}
