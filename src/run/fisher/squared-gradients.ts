/**
 * Sums of squared gradients of every trained weight: what importances and the diagonal of a Fisher matrix are made of.
 *
 * GPU memory: gradients and sums, f32, each as large as the weights.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import { dynamic } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { Programs } from "../programs.ts";

/** Values that are read back at once. */
const PIECE = 2 ** 22;

export class SquaredGradients {
  /** (size) f32 each; the caller frees them by `free`. */
  readonly of: ReadonlyMap<Parameter, PooledBuffer>;
  readonly #programs: Programs;
  readonly #add: Program;

  private constructor(of: ReadonlyMap<Parameter, PooledBuffer>, programs: Programs, add: Program) {
    this.of = of;
    this.#programs = programs;
    this.#add = add;
  }

  /** Begins at 0. `magnitude`: sums of |g| in place of g^2. */
  static async make(gpu: Gpu, parameters: readonly Parameter[], { magnitude = false } = {}): Promise<SquaredGradients> {
    const of = new Map(
      parameters.map((parameter) => {
        const bytes = Math.max(16, 4 * parameter.size);
        const memory = gpu.buffer(bytes, `squared gradients of ${parameter.name}`);
        gpu.clear(memory.buffer, bytes);
        gpu.clear(parameter.gradient, bytes);
        return [parameter, memory];
      }),
    );
    const programs = new Programs(gpu);
    const { program } = await programs.get("add", (rec) => {
      for (const parameter of parameters) {
        const { name, shape, size } = parameter;
        const x = rec.state(`gradient of ${name}`, shape, parameter.gradient);
        const y = rec.state(`squared gradients of ${name}`, shape, of.get(parameter)!.buffer);
        for (const { count: n, of: part } of stretches(rec, size))
          rec.step({
            kernel: "training/add-square",
            flags: magnitude ? ["magnitude"] : [],
            bind: { x: part(x), y: part(y) },
            params: { n, a: dynamic("a") },
            groups: spanGroups(n),
          });
      }
    });
    return new SquaredGradients(of, programs, program);
  }

  /** Adds `share` times the squares of the gradients as they are now. */
  add(share: number): void {
    this.#add.run({ a: share });
  }

  /** Frees what adds; the sums stay. */
  finish(): void {
    this.#programs.free();
  }

  /** Frees everything. */
  free(): void {
    this.finish();
    for (const held of this.of.values()) held.free();
  }
}

/** `count` f32 values of a buffer from `start` on, in pieces of 16 MiB. */
export async function* readPieces(gpu: Gpu, buffer: GPUBuffer, count: number, start = 0): AsyncGenerator<Float32Array> {
  for (let at = 0; at < count; at += PIECE)
    yield await gpu.readFloats(buffer, Math.min(PIECE, count - at), 4 * (start + at));
}
