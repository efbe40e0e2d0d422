/**
 * Where gradients lie while a recording goes back.
 *
 * The first gradient to reach a tensor writes its memory, later ones add to it, so there is no zero-filling and no
 * separate addition. A gradient that passes an op unchanged is shared, and copied only when one of its sharers is
 * about to be changed while another has yet to read it.
 */
import type { Parameter } from "./parameter.ts";
import type { Tensor } from "./tensor.ts";

/** What it asks of the recording. */
export interface GradientMemory {
  /** An activation of this shape. */
  scratch(shape: readonly number[], label: string): Tensor;
  /** The memory of the gradient of `x`, which is a parameter or rows of one from value `start` on. */
  ofParameter(x: Tensor, parameter: Parameter, start: number): Tensor;
  reshape(x: Tensor, shape: readonly number[]): Tensor;
  /** Appends y = x. */
  copy(x: Tensor, y: Tensor): void;
}

/** Memory for the gradient of a tensor, and how the next step writes it. */
export interface Place {
  readonly into: Tensor;
  /** "first" of a parameter in this program: it adds to earlier micro-batches, if there were any. */
  readonly write: "replace" | "add" | "first";
}

/** The gradients of one recording, by the roots of their tensors. */
export class Gradients {
  readonly #memory: GradientMemory;
  readonly #found = new Map<number, Tensor>();
  /** Roots that have yet to read a gradient's memory, by storage. */
  readonly #readers = new Map<number, Set<number>>();
  readonly #homes = new Map<number, () => Tensor>();
  readonly #parameters = new Map<number, { readonly parameter: Parameter; readonly start: number }>();
  readonly #reached = new Set<Parameter>();

  constructor(memory: GradientMemory) {
    this.#memory = memory;
  }

  /** The gradient of `x` goes to the parameter's own memory, from value `start` on. */
  belongsTo(x: Tensor, parameter: Parameter, start = 0): void {
    this.#parameters.set(x.root, { parameter, start });
  }

  /** The parameter that `x` is, or is a part of. */
  parameterOf(x: Tensor): Parameter | undefined {
    return this.#parameters.get(x.root)?.parameter;
  }

  /** The gradient of `x` goes to the place that `home` gives. */
  livesIn(x: Tensor, home: () => Tensor): void {
    this.#homes.set(x.root, home);
  }

  /** Parameters that a gradient has reached. */
  get reached(): ReadonlySet<Parameter> {
    return this.#reached;
  }

  /** The gradient that has reached `x`, in its shape. */
  of(x: Tensor): Tensor | undefined {
    const found = this.#found.get(x.root);
    return found && this.#like(found, x);
  }

  /** Lets `x` have the gradient of another tensor. */
  hand(x: Tensor, gradient: Tensor): void {
    this.#found.set(x.root, gradient);
  }

  #like(gradient: Tensor, x: Tensor): Tensor {
    return gradient.shape.join() === x.shape.join() ? gradient : this.#memory.reshape(gradient, x.shape);
  }

  /** Where the next step puts the gradient of `x`. */
  place(x: Tensor): Place {
    const found = this.#found.get(x.root);
    const own = this.#parameters.get(x.root);
    if (own) {
      const into = found ?? this.#memory.ofParameter(x, own.parameter, own.start);
      this.#found.set(x.root, into);
      this.#reached.add(own.parameter);
      return { into: this.#like(into, x), write: found ? "add" : "first" };
    }
    if (found) return { into: this.#like(this.#own(x, found), x), write: "add" };
    const into = this.#homes.get(x.root)?.() ?? this.#memory.scratch(x.shape, `gradient of ${x.label}`);
    this.#found.set(x.root, into);
    return { into: this.#like(into, x), write: "replace" };
  }

  /** The gradient of `x` as memory that nobody else has yet to read. */
  #own(x: Tensor, found: Tensor): Tensor {
    const readers = this.#readers.get(found.storage.id);
    readers?.delete(x.root);
    if (!readers || readers.size === 0) return found;
    const copy = this.#memory.scratch(found.shape, found.label);
    this.#memory.copy(found, copy);
    this.#found.set(x.root, copy);
    return copy;
  }

  /**
   * Shares a tensor as the gradient of `x`, without a copy. False where the gradient must be added to what is there.
   */
  share(x: Tensor, gradient: Tensor): boolean {
    const settled = this.#found.has(x.root) || this.#parameters.has(x.root) || this.#homes.has(x.root);
    if (settled || gradient.offset !== 0) return false;
    this.#found.set(x.root, this.#like(gradient, x));
    this.#read(gradient, x.root);
    return true;
  }

  #read(gradient: Tensor, root: number): void {
    const readers = this.#readers.get(gradient.storage.id) ?? new Set<number>();
    this.#readers.set(gradient.storage.id, readers.add(root));
  }

  /**
   * Calls `run` if a gradient has reached one of `results`. While it runs, nothing is added to the memory of their
   * gradients.
   */
  reading(results: readonly Tensor[], run: () => void): void {
    const gradients = results.map(({ root }) => ({ root, gradient: this.#found.get(root) }));
    for (const { root, gradient } of gradients) if (gradient) this.#read(gradient, root);
    if (gradients.some(({ gradient }) => gradient)) run();
    for (const { root } of gradients) {
      const gradient = this.#found.get(root);
      if (gradient) this.#readers.get(gradient.storage.id)?.delete(root);
    }
  }
}
