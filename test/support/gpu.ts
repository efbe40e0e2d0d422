/**
 * The GPU that tests share: opened once per process, because a device costs more than most tests. Tests that break a
 * device open one of their own with `ownGpu`.
 *
 * No adapter is a failure here, not a reason to skip: setting up guarantees one.
 */
import { type Device, openDevice } from "../../src/gpu/device.ts";
import { Gpu } from "../../src/gpu/gpu.ts";

export interface OpenGpu {
  readonly device: Device;
  readonly gpu: Gpu;
}

/** A device and what runs on it, for one test alone; close it. Throws a UserError when no adapter answers. */
export async function ownGpu(options: { profile?: boolean } = {}): Promise<OpenGpu> {
  const device = await openDevice();
  return { device, gpu: new Gpu(device, options.profile ?? false) };
}

// Test files may each get modules of their own; the global object is the process's.
const SHARED = Symbol.for("ingot.test.gpu");
const store = globalThis as unknown as Record<symbol, Promise<OpenGpu> | undefined>;

/** The process's GPU and its device. Never close it. */
export function sharedOpenGpu(): Promise<OpenGpu> {
  store[SHARED] ??= ownGpu();
  return store[SHARED];
}

/** The process's GPU. Never close it. */
export const sharedGpu = async (): Promise<Gpu> => (await sharedOpenGpu()).gpu;
