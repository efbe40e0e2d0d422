/**
 * Loss scaling: gradients in f16 are multiplied by a power of two, so that small ones are not lost. Micikevicius et
 * al., Mixed Precision Training, ICLR 2018, https://arxiv.org/abs/1710.03740
 *
 * A step whose gradients overflow changes no weight and halves the factor; so many good steps one after the other
 * double it. An optimizer's count of steps goes on over a step that was skipped.
 */
import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { isObject, type Json } from "../../../json.ts";
import type { Controller } from "../controller.ts";

/** A gradient that overflows below is no number by itself. */
const LEAST = 2 ** -24;
const MOST = 2 ** 60;

export class LossScale implements Controller {
  readonly name = "loss-scale";
  readonly logged = true;
  readonly #gpu: Gpu;
  /** (1), f32: what programs multiply gradients by. It is written between steps. */
  readonly memory: PooledBuffer;
  readonly #every: number;
  #scale: number;
  #good = 0;
  #skipped = 0;

  /** Throws UserError for a factor that is no power of two. */
  constructor(gpu: Gpu, first: number, every: number) {
    if (!Number.isInteger(Math.log2(first)))
      throw new UserError(`--loss-scale ${first} is no power of two, and would round gradients`, "65536 is one");
    this.#gpu = gpu;
    this.memory = gpu.upload(Float32Array.of(first, 0, 0, 0), "loss scale");
    this.#scale = first;
    this.#every = every;
  }

  #set(scale: number): void {
    this.#scale = scale;
    this.#gpu.write(this.memory.buffer, 0, new Uint8Array(Float32Array.of(scale).buffer));
  }

  values(): Record<string, number> {
    return { loss_scale: this.#scale };
  }

  said(): string {
    return `loss scale ${this.#scale}${this.#skipped > 0 ? `, ${this.#skipped} steps skipped` : ""}`;
  }

  heard(): void {
    if (++this.#good < this.#every) return;
    this.#good = 0;
    this.#set(Math.min(MOST, 2 * this.#scale));
  }

  /** Halves the factor, until there is none left to halve. */
  skips(): boolean {
    if (this.#scale <= LEAST) return false;
    this.#set(this.#scale / 2);
    this.#good = 0;
    this.#skipped++;
    return true;
  }

  state(): Json {
    return { scale: this.#scale, good: this.#good, skipped: this.#skipped };
  }

  /** Throws TypeError for what `state` does not give. */
  load(state: Json): void {
    const { scale, good, skipped } = isObject(state) ? state : {};
    if (typeof scale !== "number" || typeof good !== "number" || typeof skipped !== "number" || !(scale > 0))
      throw new TypeError("no state of a loss scale");
    this.#set(scale);
    [this.#good, this.#skipped] = [good, skipped];
  }
}
