/**
 * One kernel on the adapter that ingot would use, and its numbers checked. Run as a program it prints a JSON `Answer`;
 * set-up and `doctor` run it in a separate process, because a driver that fails can take its process along.
 */
import { UserError } from "../errors.ts";
import type { Adapter, Device } from "../gpu/device.ts";
import { run } from "./run.ts";

export interface Answer {
  readonly adapter?: Adapter;
  /** Every adapter that `--device` can name, when all were asked for. */
  readonly adapters?: readonly Adapter[];
  /** Sizes of the adapter's memory in bytes; empty where the driver does not say. */
  readonly heaps?: readonly { readonly bytes: number; readonly deviceLocal: boolean }[];
  /** Milliseconds from the start of the process to the device, and from there to the checked numbers. */
  readonly openMs?: number;
  readonly kernelMs?: number;
  /** What went wrong; undefined when an adapter answered and its numbers were right. */
  readonly error?: string;
  readonly hint?: string;
}

const ALL = "--all";
const PATIENCE_MS = 120_000;

/**
 * Asks in a child process; `env` is added to this process's, `all` has it list every adapter. Never throws: whatever
 * went wrong is in the answer.
 */
export async function checkAdapter(env: Record<string, string | undefined> = {}, all = false): Promise<Answer> {
  const ended = await run([process.execPath, import.meta.path, ...(all ? [ALL] : [])], { env, timeout: PATIENCE_MS });
  try {
    // Drivers print lines too; the answer is the last one.
    return JSON.parse(ended.stdout.trimEnd().split("\n").at(-1) ?? "") as Answer;
  } catch {
    const words = ended.stderr.trim().split("\n").slice(-3).join("; ");
    const why = ended.code > 128 ? `was ended by signal ${ended.code - 128}` : `ended with code ${ended.code}`;
    return { error: `The process that asked for an adapter ${why}${words ? `: ${words}` : ""}` };
  }
}

const LENGTH = 1000; // not a multiple of the workgroup: the bounds check runs too
const GROUP = 64;
const KERNEL = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(${GROUP})
fn add(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&sum)) { sum[id.x] = a[id.x] + b[id.x]; }
}`;

const MAP_READ = 0x01;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const STORAGE = 0x80;

/** Adds two vectors of f32 and compares every sum; returns what is wrong with the first that differs. */
async function checkKernel({ device }: Device): Promise<string | undefined> {
  // Halves and integers below 2^24: exact in f32, so the sums must be equal to the last bit.
  const a = Float32Array.from({ length: LENGTH }, (_, i) => i * 0.5);
  const b = Float32Array.from({ length: LENGTH }, (_, i) => 1000 - i);
  const buffer = (usage: number) => device.createBuffer({ size: LENGTH * 4, usage });
  const [left, right, sum, copy] = [
    buffer(STORAGE | COPY_DST),
    buffer(STORAGE | COPY_DST),
    buffer(STORAGE | COPY_SRC),
    buffer(MAP_READ | COPY_DST),
  ] as const;
  device.queue.writeBuffer(left, 0, a);
  device.queue.writeBuffer(right, 0, b);

  const module = device.createShaderModule({ code: KERNEL, label: "setup/add" });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "add" } });
  const entries = [left, right, sum].map((resource, binding) => ({ binding, resource: { buffer: resource } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(Math.ceil(LENGTH / GROUP));
  pass.end();
  encoder.copyBufferToBuffer(sum, 0, copy, 0, LENGTH * 4);
  device.queue.submit([encoder.finish()]);

  await copy.mapAsync(MAP_READ);
  const got = new Float32Array(copy.getMappedRange().slice(0));
  const wrong = got.findIndex((value, i) => value !== (a[i] ?? 0) + (b[i] ?? 0));
  if (wrong < 0) return undefined;
  return `a kernel that adds two vectors gave ${got[wrong]} at ${wrong}, expected ${(a[wrong] ?? 0) + (b[wrong] ?? 0)}`;
}

async function answer(): Promise<Answer> {
  try {
    const { listAdapters, openDevice } = await import("../gpu/device.ts");
    const adapters = process.argv.includes(ALL) ? await listAdapters() : undefined;
    const device = await openDevice();
    const openMs = performance.now();
    let gpuError: string | undefined;
    device.device.onuncapturederror = (event) => {
      gpuError ??= event.error.message;
    };
    const wrong = await checkKernel(device);
    const error = gpuError ?? wrong;
    return {
      adapter: device.adapter,
      ...(adapters ? { adapters } : {}),
      heaps: device.memoryHeaps(),
      openMs,
      kernelMs: performance.now() - openMs,
      ...(error ? { error: `${device.adapter.description || device.adapter.device}: ${error}` } : {}),
    };
  } catch (error) {
    if (error instanceof UserError) return { error: error.message, ...(error.hint ? { hint: error.hint } : {}) };
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

if (import.meta.main) {
  process.stdout.write(`${JSON.stringify(await answer())}\n`);
  // Objects of the driver are left to the system: some drivers crash when they are taken down at exit.
  process.exit(0);
}
