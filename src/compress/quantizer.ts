/** What a quantizer is: it gives the codes and scales of one linear layer. */
import { decodeFloats, encodeFloats } from "../checkpoint/decode.ts";
import type { ScaledFormat } from "../checkpoint/numbers/number-format.ts";
import type { NumberGrid, QuantizedMatrix } from "../checkpoint/quantized/matrix.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Layer, MeasuredLayer } from "./layer.ts";

/** Numbers to quantise to. */
export interface Scheme extends NumberGrid {
  /** Inputs of a row that share a scale; Infinity for all. */
  readonly group: number;
  /** Whether integers lie about the middle, without zero points of their own. */
  readonly symmetric: boolean;
  /** Type in which scales are kept: they are rounded to it before codes are chosen. */
  readonly scales: "f32" | "f16" | "bf16";
  /** Weights that are 0 stay 0: the layer was pruned. */
  readonly keepZeros: boolean;
  /** The number format that bits, levels and group are of. */
  readonly format?: ScaledFormat;
}

/** Scales as they will be stored: rounded to nearest, halves to even. */
export const storedScales = (scales: Float32Array, type: Scheme["scales"]): Float32Array =>
  type === "f32"
    ? scales
    : decodeFloats(encodeFloats(scales, type === "f16" ? "F16" : "BF16"), type === "f16" ? "F16" : "BF16");

interface Shared<O extends Options> extends MethodInfo<O> {
  /** Refuses what it cannot do. Throws UserError. */
  check?(scheme: Scheme, values: Values<O>): void;
  /** Whether columns of a group do not follow one another; they do when left out. */
  reorders?(values: Values<O>): boolean;
  /** Whether it takes formats whose scales are no plain floats: powers of two, or e4m3 over a number. */
  readonly scalesOfFormats?: true;
  /** Whether its integers have offsets, not zero points, unless they are symmetric. */
  readonly offsets?: true;
}

export interface WeightQuantizer<O extends Options = Options> extends Shared<O> {
  readonly needs: "weights";
  quantize(layer: Layer, scheme: Scheme, values: Values<O>): Promise<QuantizedMatrix>;
}

/** Layers that read the same inputs, which can be scaled where they are made. */
export interface InputGroup {
  readonly gpu: Gpu;
  /** One at least, each with the numbers that it is quantised to. */
  readonly layers: readonly { readonly layer: MeasuredLayer; readonly scheme: Scheme }[];
  /** Divides input j by factor j, above 0, and multiplies column j of the layers: the model computes the same. */
  scale(factors: Float32Array): Promise<void>;
}

export interface InputQuantizer<O extends Options = Options> extends Shared<O> {
  readonly needs: "inputs";
  /** Scales the inputs of layers, before any of them is quantised. Not called where inputs cannot be scaled. */
  prepare?(group: InputGroup, values: Values<O>): Promise<void>;
  /** The same, by what the layer reads. */
  quantize(layer: MeasuredLayer, scheme: Scheme, values: Values<O>): Promise<QuantizedMatrix>;
}

export type Quantizer = WeightQuantizer | InputQuantizer;

export const defineWeightQuantizer = <const O extends Options>(
  method: Omit<WeightQuantizer<O>, "needs">,
): WeightQuantizer<O> => ({ needs: "weights", ...method });

export const defineInputQuantizer = <const O extends Options>(
  method: Omit<InputQuantizer<O>, "needs">,
): InputQuantizer<O> => ({ needs: "inputs", ...method });

declare module "../method/registry.ts" {
  interface Contracts {
    quantizer: Quantizer;
  }
}
