/** Times kernels by timestamp queries. One pass per dispatch while profiling, so totals are of kernels alone. */
import type { Device } from "./device.ts";

const QUERIES = 512;
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const MAP_READ = 0x01;

export interface KernelTime {
  readonly kernel: string;
  readonly runs: number;
  readonly seconds: number;
}

export class KernelTimer {
  readonly #device: Device;
  readonly #set: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #totals = new Map<string, { runs: number; nanoseconds: number }>();
  readonly #pending: Promise<void>[] = [];
  #labels: string[] = [];

  constructor(device: Device) {
    this.#device = device;
    this.#set = device.device.createQuerySet({ type: "timestamp", count: QUERIES });
    this.#resolved = device.device.createBuffer({ size: 8 * QUERIES, usage: QUERY_RESOLVE | COPY_SRC });
  }

  /** Whether the queries of this submit are used up. */
  get full(): boolean {
    return 2 * this.#labels.length + 2 > QUERIES;
  }

  /** What to open the pass of the next dispatch with; undefined when the queries of this submit are used up. */
  begin(label: string): GPUComputePassDescriptor | undefined {
    if (this.full) return undefined;
    const index = 2 * this.#labels.length;
    this.#labels.push(label);
    const timestampWrites = {
      querySet: this.#set,
      beginningOfPassWriteIndex: index,
      endOfPassWriteIndex: index + 1,
    };
    return { label, timestampWrites };
  }

  /** Called at the end of a submit's recording: takes its timestamps along. */
  resolve(encoder: GPUCommandEncoder): void {
    const labels = this.#labels;
    if (labels.length === 0) return;
    this.#labels = [];
    const bytes = 16 * labels.length;
    const landing = this.#device.device.createBuffer({ size: bytes, usage: MAP_READ | COPY_DST });
    encoder.resolveQuerySet(this.#set, 0, 2 * labels.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, landing, 0, bytes);
    queueMicrotask(() => this.#pending.push(this.#collect(landing, labels)));
  }

  async #collect(landing: GPUBuffer, labels: string[]): Promise<void> {
    await landing.mapAsync(1);
    const times = new BigUint64Array(landing.getMappedRange());
    labels.forEach((label, index) => {
      const total = this.#totals.get(label) ?? { runs: 0, nanoseconds: 0 };
      total.runs += 1;
      total.nanoseconds += Number(times[2 * index + 1]! - times[2 * index]!);
      this.#totals.set(label, total);
    });
    landing.unmap();
    landing.destroy();
  }

  /** Time per kernel so far, longest first. */
  async times(): Promise<KernelTime[]> {
    await Promise.resolve();
    await Promise.all(this.#pending);
    return [...this.#totals]
      .map(([kernel, { runs, nanoseconds }]) => ({ kernel, runs, seconds: nanoseconds / 1e9 }))
      .sort((a, b) => b.seconds - a.seconds);
  }
}
