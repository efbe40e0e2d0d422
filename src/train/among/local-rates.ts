/**
 * The rate of a client's local steps, which grows where a step goes on in the direction of the one before and in that
 * of the server's last step, and shrinks where it turns back. Wang et al., ICLR 2024, https://arxiv.org/abs/2310.03156
 *
 *   u_k = beta_(k-1) times the optimizer's step
 *   f = 1 + <u_k, u_(k-1)> + 0.1 <u_k, D> / m,   beta_k = clip(min(1.1, f) beta_(k-1), 1/most, most)
 *
 * Products are over all weights together, of unit vectors where they are normalised; m is how many times the server's
 * step is longer than one of the client's (1 for unit vectors). Everything stays on the GPU. Memory: three copies of
 * what is trained.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { EMPTY, type LocalPart, type Parcel, type Tensors } from "../../run/among/contract.ts";
import { bytesOf } from "../../run/among/tensors.ts";
import { Programs } from "../../run/programs.ts";
import { recordAddScaled } from "../../run/training/add-scaled.ts";
import { add, addScalar, clamp, div, minimum, mul, scale, sqrt, sub } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Below this no direction is known. */
const LEAST = 1e-30;

export interface LocalRatesOptions {
  readonly most: number;
  readonly normalises: boolean;
  /** Local steps of which the server's step is the sum, about. */
  readonly steps: number;
}

interface Held {
  readonly parameter: Parameter;
  /** Weights before the step, the step before, and the server's last step. */
  readonly before: PooledBuffer;
  readonly last: PooledBuffer;
  readonly server: PooledBuffer;
}

/** Name of the rate in what a client keeps. */
const BETA = "beta";

export class LocalRates implements LocalPart {
  readonly #gpu: Gpu;
  readonly #options: LocalRatesOptions;
  readonly #held: readonly Held[];
  readonly #beta: PooledBuffer;
  readonly #programs: Programs;

  constructor(gpu: Gpu, parameters: readonly Parameter[], options: LocalRatesOptions) {
    this.#gpu = gpu;
    this.#options = options;
    this.#programs = new Programs(gpu);
    this.#beta = gpu.buffer(16, "rate of local steps");
    const copy = (what: string, { name, size }: Parameter) => gpu.buffer(Math.max(16, 4 * size), `${what} of ${name}`);
    this.#held = parameters.map((parameter) => ({
      parameter,
      before: copy("weights before", parameter),
      last: copy("last step", parameter),
      server: copy("server's step", parameter),
    }));
  }

  get bytes(): number {
    return this.#held.reduce((sum, { before }) => sum + 3 * before.bytes, this.#beta.bytes);
  }

  begin({ global, told, kept }: { global: Tensors; told: Parcel; kept: Parcel }): undefined {
    this.#gpu.write(this.#beta.buffer, 0, bytesOf(Float32Array.of(kept.numbers[BETA] ?? 1, 0, 0, 0)));
    for (const { parameter, before, last, server } of this.#held) {
      this.#gpu.write(before.buffer, 0, bytesOf(global.get(parameter.name)!));
      const known = told.tensors.get(parameter.name) ?? new Float32Array(parameter.size);
      this.#gpu.write(server.buffer, 0, bytesOf(known));
      this.#gpu.clear(last.buffer, Math.max(16, 4 * parameter.size));
    }
    return undefined;
  }

  readonly updates = [{ name: "local-rates", after: () => this.#rescale() }];

  async end(): Promise<Parcel> {
    const [beta = 1] = await this.#gpu.readFloats(this.#beta.buffer, 1);
    return { ...EMPTY, numbers: { [BETA]: beta } };
  }

  /** Scales the step that was taken, and chooses the rate of the next one. */
  async #rescale(): Promise<void> {
    const { program } = await this.#programs.get("rescale", (rec) => this.#record(rec));
    program.run({ a: 1, b: 0 });
  }

  #record(rec: Recorder): void {
    const { most, normalises, steps } = this.#options;
    const beta = rec.state("rate", [1], this.#beta.buffer);
    const parts = this.#held.map(({ parameter: { name, shape, buffer }, before, last, server }) => {
      const [x, from] = [rec.state(name, shape, buffer), rec.state(`${name} before`, shape, before.buffer)];
      const u = mul(rec, sub(rec, x, from), beta);
      const about = (what: string, held: PooledBuffer) => rec.state(`${what} of ${name}`, shape, held.buffer);
      return { x, from, u, last: about("last", last), server: about("server", server) };
    });
    const total = (of: (part: (typeof parts)[number]) => Tensor) => parts.map(of).reduce((a, b) => add(rec, a, b)); // (1)
    const length = (of: (part: (typeof parts)[number]) => Tensor) =>
      sqrt(
        rec,
        total((part) => dot(rec, of(part), of(part))),
      );
    const product = (of: (part: (typeof parts)[number]) => Tensor) => {
      const found = total((part) => dot(rec, part.u, of(part)));
      if (!normalises) return found;
      const lengths = mul(
        rec,
        length(({ u }) => u),
        length(of),
      );
      return div(rec, found, clamp(rec, lengths, LEAST, 3.4e38));
    };
    const own = product(({ last }) => last);
    const towards = scale(
      rec,
      product(({ server }) => server),
      normalises ? 0.1 : 0.1 / steps,
    );
    const grown = addScalar(rec, add(rec, own, towards), 1);
    const top = rec.constant(Float32Array.of(1.1), [1], "most growth");
    const next = clamp(rec, mul(rec, minimum(rec, grown, top), beta), 1 / most, most);
    for (const { x, from, u, last } of parts) {
      const moved = add(rec, from, u);
      recordAddScaled(rec, moved, x);
      recordAddScaled(rec, moved, from);
      recordAddScaled(rec, u, last);
    }
    recordAddScaled(rec, next, beta);
  }

  free(): void {
    this.#programs.free();
    this.#beta.free();
    for (const { before, last, server } of this.#held) for (const held of [before, last, server]) held.free();
  }
}

/** What a client keeps of its rate. */
export const keptRate = (found: Parcel): Parcel => ({ tensors: new Map(), numbers: found.numbers });
