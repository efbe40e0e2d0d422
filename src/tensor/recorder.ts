/**
 * Records a computation as a list of kernel steps, and writes down how to go back through it.
 *
 * An op makes its result with `result`, appends steps with `step`, and hands `onBackward` a closure that appends the
 * steps of its gradient. `backward` runs the closures in reverse; gradients.ts says where gradients lie. Nothing is
 * computed here: a Program (program.ts) places the tensors and replays the steps.
 */
import { spanGroups } from "../gpu/grid.ts";
import type { AdapterProfile } from "./adapter-profile.ts";
import { Gradients } from "./gradients.ts";
import type { Lent } from "./lent.ts";
import type { Parameter } from "./parameter.ts";
import { dynamic, refuseCodes, type Step, type StepParam, type Target } from "./step.ts";
import {
  bytesOf,
  type ElementType,
  newIdentity,
  type Place,
  type Storage,
  type StorageKind,
  showShape,
  sizeOf,
  type Tensor,
  tensorBytes,
  viewOf,
} from "./tensor.ts";

export { type Dynamic, dynamic, type Step, type StepParam, type Target } from "./step.ts";

/** Name of the dynamic value that is 0 in the first micro-batch of a step and 1 in the others. */
export const ACCUMULATE = "accumulate";

interface TapeEntry {
  readonly results: readonly Tensor[];
  readonly run: () => void;
}

interface LentShape {
  readonly shape: readonly number[];
  readonly dtype?: ElementType;
  readonly of?: Tensor;
  readonly start?: number;
}

export type RecorderOptions = Readonly<Partial<Record<"training" | "toInputs", boolean>>>;

export class Recorder {
  readonly profile: AdapterProfile;
  /** False in evaluation: ops such as dropout are the identity, and no tape is kept. */
  readonly training: boolean;
  readonly steps: Step[] = [];
  readonly inputs = new Map<string, Tensor>();
  readonly outputs = new Map<string, Tensor>();
  readonly constants: { readonly tensor: Tensor; readonly data: Float32Array | Int32Array | Uint32Array }[] = [];
  readonly #parameters = new Map<Parameter, Tensor>();
  readonly #gradients: Gradients;
  #standIns: ReadonlyMap<Parameter, Parameter | Tensor> | undefined;
  #tape: TapeEntry[] = [];
  #taping: boolean;

  /** `toInputs`: a tape is kept in evaluation too, for gradients of `watched` tensors; weights take none. */
  constructor(profile: AdapterProfile, { training = true, toInputs = false }: RecorderOptions = {}) {
    this.profile = profile;
    this.training = training;
    this.#taping = training || toInputs;
    this.#gradients = new Gradients({
      scratch: (shape, label) => this.scratch(shape, label),
      ofParameter: (x, parameter, start) => this.#gradientOf(x, parameter, start),
      reshape: (x, shape) => this.reshape(x, shape),
      copy: (x, y) => this.addInto(x, y, 0),
    });
  }

  #tensor(shape: readonly number[], dtype: ElementType, label: string, kind: StorageKind, place?: Place): Tensor {
    const id = newIdentity();
    const whole = dtype === "codes" ? place!.buffer!.size : bytesOf(sizeOf(shape), dtype);
    const bytes = Math.max(16, Math.ceil(whole / 16) * 16);
    const storage: Storage = { id, bytes, kind, label, ...place };
    return { id, root: id, label, shape, dtype, storage, offset: 0, needsGrad: false };
  }

  /** An activation without a gradient: an op's working memory or saved values. */
  scratch(shape: readonly number[], label: string, dtype: ElementType = "f32"): Tensor {
    return this.#tensor(shape, dtype, label, "activation");
  }

  /** The result of an op on `from`: it needs a gradient when one of them does. */
  result(shape: readonly number[], from: readonly Tensor[], label: string, dtype: ElementType = "f32"): Tensor {
    const made = this.scratch(shape, label, dtype);
    made.needsGrad = this.#taping && from.some((x) => x.needsGrad);
    return made;
  }

  /** Memory that the host fills before a run, by name. Asking again for a name gives the same tensor. */
  input(name: string, shape: readonly number[], dtype: ElementType = "f32"): Tensor {
    const known = this.inputs.get(name);
    if (known) {
      if (known.shape.join() !== shape.join() || known.dtype !== dtype)
        throw new RangeError(
          `input ${name} is ${showShape(known.shape)} ${known.dtype}, asked for as ${showShape(shape)}`,
        );
      return known;
    }
    const made = this.#tensor(shape, dtype, name, "input");
    this.inputs.set(name, made);
    return made;
  }

  /** `x`, which takes a gradient from here on: `incoming` gives it after `backward`. For inputs and states. */
  watched(x: Tensor): Tensor {
    x.needsGrad = this.#taping;
    return x;
  }

  /** Memory that keeps its contents between runs and may be shared between programs: optimizer states, caches. */
  state(name: string, shape: readonly number[], buffer: GPUBuffer, dtype: ElementType = "f32"): Tensor {
    return this.#tensor(shape, dtype, name, "state", { buffer });
  }

  /** As `state`, of what is in a buffer only while it is used; with `of` a weight's part from value `start` on. */
  lent(lent: Lent & { readonly name: string }, { shape, dtype = "f32", of, start = 0 }: LentShape): Tensor {
    const made = this.#tensor(shape, dtype, lent.name, "state", { buffer: lent.buffer, lent });
    const parameter = of && this.#gradients.parameterOf(of);
    if (!parameter) return made;
    made.needsGrad = of.needsGrad;
    this.#gradients.belongsTo(made, parameter, start);
    return made;
  }

  /** The parameter that `x` is, or is a part of. */
  parameterOf(x: Tensor): Parameter | undefined {
    return this.#gradients.parameterOf(x);
  }

  /** Values fixed when the program is made. */
  constant(data: Float32Array | Int32Array | Uint32Array, shape: readonly number[], label: string): Tensor {
    const dtype = data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "u32";
    const tensor = this.#tensor(shape, dtype, label, "constant");
    this.constants.push({ tensor, data });
    return tensor;
  }

  /**
   * Records with other weights in the place of some: the same model as it was before, for a teacher that shares all
   * that is not trained; or with tensors of their shapes, for weights that a network makes.
   */
  standingIn<T>(others: ReadonlyMap<Parameter, Parameter | Tensor>, record: () => T): T {
    const before = this.#standIns;
    this.#standIns = others;
    try {
      return record();
    } finally {
      this.#standIns = before;
    }
  }

  /** The weights of a parameter. They need a gradient when the parameter is trainable. */
  parameter(given: Parameter): Tensor {
    const parameter = this.#standIns?.get(given) ?? given;
    if ("storage" in parameter) return parameter;
    let tensor = this.#parameters.get(parameter);
    if (!tensor) {
      const dtype = parameter.codes ? "codes" : parameter.dtype;
      tensor = this.#tensor(parameter.shape, dtype, parameter.name, "parameter", parameter.place);
      tensor.needsGrad = this.training && parameter.trainable;
      this.#parameters.set(parameter, tensor);
      this.#gradients.belongsTo(tensor, parameter);
    }
    return tensor;
  }

  #gradientOf({ shape, label }: Tensor, parameter: Parameter, start: number): Tensor {
    const { size, gradientPages, shape: whole } = parameter;
    if (gradientPages) {
      const lent = gradientPages.list[start / (size / whole[0]!)]!;
      return this.#tensor(shape, "f32", `gradient of ${label}`, "gradient", { buffer: lent.buffer, lent });
    }
    const all = this.#tensor([size], "f32", `gradient of ${label}`, "gradient", { buffer: parameter.gradient });
    return viewOf(all, start, shape);
  }

  /** Rows of a weight, from value `start` on, with their part of its gradient. */
  part(weight: Tensor, start: number, shape: readonly number[]): Tensor {
    const made = viewOf(weight, start, shape, `${weight.label}[${start}]`);
    const parameter = this.#gradients.parameterOf(weight);
    if (parameter) this.#gradients.belongsTo(made, parameter, start);
    return made;
  }

  /** Keeps a tensor's values after the run, to be read by this name. The tensor must be an activation. */
  output(name: string, x: Tensor): void {
    if (this.outputs.has(name)) throw new RangeError(`there are two outputs called ${name}`);
    if (x.storage.buffer || x.storage.kind !== "activation")
      throw new RangeError(`${name}: ${x.label} is not an activation`);
    this.outputs.set(name, x);
  }

  /** Appends a dispatch. Throws UserError where it would read codes as values. */
  step(step: Step): void {
    refuseCodes(step);
    this.steps.push(step);
  }

  /** The same values under another shape. Its gradient is that of `x`. */
  reshape(x: Tensor, shape: readonly number[]): Tensor {
    if (sizeOf(shape) !== sizeOf(x.shape))
      throw new RangeError(`${x.label}: ${showShape(x.shape)} cannot be seen as ${showShape(shape)}`);
    return { ...x, id: newIdentity(), shape };
  }

  /**
   * Neighbouring rows (the first dimension) of `x` as views, `rows` each, the last perhaps fewer. A part begins at a
   * multiple of 256 bytes. The parts' gradients are parts of x's.
   */
  split(x: Tensor, rows: number): Tensor[] {
    const [count = 0, ...rest] = x.shape;
    const rowBytes = tensorBytes(viewOf(x, 0, [1, ...rest]));
    if (count > rows && (rows * rowBytes) % 256 !== 0)
      throw new RangeError(`${x.label}: ${rows} rows of ${rowBytes} bytes do not end at a multiple of 256 bytes`);
    if (count <= rows) return [x];
    const parts: Tensor[] = [];
    const part = (whole: Tensor, at: number, label: string): Tensor =>
      viewOf(whole, at * sizeOf(rest), [Math.min(rows, count - at), ...rest], label);
    for (let at = 0; at < count; at += rows) parts.push(part(x, at, `${x.label}[${at}]`));
    if (!x.needsGrad) return parts;
    let whole: Tensor | undefined;
    for (const [i, made] of parts.entries()) {
      this.#gradients.livesIn(made, () => {
        whole ??= this.scratch(x.shape, `gradient of ${x.label}`);
        return part(whole, i * rows, `gradient of ${made.label}`);
      });
    }
    this.#push(parts, () => {
      for (const made of parts) if (!this.incoming(made)) this.#zero(this.gradient(made).into);
      if (whole) this.addGradient(x, whole);
    });
    return parts;
  }

  #zero(into: Tensor): void {
    const zeros = this.constant(new Float32Array(sizeOf(into.shape)), into.shape, "zeros");
    this.addInto(zeros, into, 0);
  }

  /** Remembers how to go back through an op. `run` gets the result's gradient; it is called only if there is one. */
  onBackward(result: Tensor, run: (gradient: Tensor) => void): void {
    if (result.needsGrad) this.#push([result], () => run(this.incoming(result)!));
  }

  /** As `onBackward`, for an op with several results; `run` asks `incoming` for each, and some may have none. */
  onBackwardOf(results: readonly Tensor[], run: () => void): void {
    if (results.some(({ needsGrad }) => needsGrad)) this.#push(results, run);
  }

  #push(results: readonly Tensor[], run: () => void): void {
    if (this.#taping) this.#tape.push({ results, run });
  }

  /** Parameters that a gradient reached; whole once `backward` is done. */
  reached(): ReadonlySet<Parameter> {
    return this.#gradients.reached;
  }

  /** The gradient that reached `x`, whole once every op that reads `x` has gone back. */
  incoming(x: Tensor): Tensor | undefined {
    return this.#gradients.of(x);
  }

  /** Where an op puts the gradient of its input `x`, which must need one. To be used by the very next step. */
  gradient(x: Tensor): Target {
    if (!x.needsGrad) throw new Error(`${x.label} needs no gradient`);
    const { into, write } = this.#gradients.place(x);
    return { into, accumulate: write === "first" ? dynamic(ACCUMULATE) : write === "add" ? 1 : 0 };
  }

  /** Adds an existing tensor to the gradient of `x`: shared without a copy when it is the first to arrive. */
  addGradient(x: Tensor, gradient: Tensor): void {
    if (!x.needsGrad || this.#gradients.share(x, gradient)) return;
    const { into, accumulate } = this.gradient(x);
    this.addInto(gradient, into, accumulate);
  }

  /** Appends y = x, or y += x where `accumulate` is 1. */
  addInto(x: Tensor, y: Tensor, accumulate: StepParam): void {
    const n = sizeOf(x.shape);
    this.step({
      kernel: "recorder/add-into",
      bind: { x, y },
      params: { n, accumulate },
      groups: spanGroups(Math.ceil(n / 4)),
    });
  }

  /**
   * Goes back from tensors whose gradients are given. A loss is `backward([[loss, one]])` with `one` a constant; a
   * weighted sum of per-token losses can be seeded with the weights themselves. Once per recording.
   */
  backward(seeds: readonly (readonly [Tensor, Tensor])[]): void {
    for (const [x, gradient] of seeds) this.addGradient(x, gradient);
    const tape = this.#tape;
    this.#tape = [];
    this.#taping = false;
    this.#runTape(tape);
  }

  #runTape(tape: readonly TapeEntry[]): void {
    for (const { results, run } of [...tape].reverse()) this.#gradients.reading(results, run);
  }

  /**
   * Records `run` so that its inner activations are dropped and made again on the way back (activation
   * recomputation). `run` must record the same steps both times: randomness goes by key, not by order.
   */
  recomputed(run: () => Tensor): Tensor {
    return this.recomputedAll(() => [run()])[0]!;
  }

  /**
   * As `recomputed`, for several results. Each is kept while it is read, and may take a gradient from outside, or
   * none.
   */
  recomputedAll(run: () => readonly Tensor[]): readonly Tensor[] {
    if (!this.#taping) return run();
    this.#taping = false;
    const before = this.#tape;
    this.#tape = [];
    const results = run();
    this.#taping = true;
    this.#tape = before;
    for (const result of results) result.needsGrad = true;
    this.#push(results, () => {
      this.#taping = true;
      const outer = this.#tape;
      this.#tape = [];
      const again = run();
      const inner = this.#tape;
      this.#tape = outer;
      this.#taping = false;
      for (const [i, result] of results.entries()) {
        const gradient = this.incoming(result);
        if (gradient && again[i]!.needsGrad) this.#gradients.hand(again[i]!, gradient);
      }
      this.#runTape(inner);
    });
    return results;
  }
}
