/**
 * A device that computes nothing: buffers have sizes and no memory, kernels are linked and not compiled, work is
 * recorded into nothing. What a run would take is found out by the very code that runs it, from shapes alone.
 *
 *   const gpu = new Gpu(dryDevice(adapter), false);
 *   const model = await Model.load(gpu, checkpoint); // reads no weights
 *   gpu.pool.allocated;                              // bytes that the model takes
 */
import type { Adapter, Device } from "./device.ts";

/** A result was asked of a device that computes nothing: what is planned depends on values. */
export class NeedsValues extends Error {
  constructor() {
    super("a device that computes nothing was asked for a result");
  }
}

/** Does something on a device that computes nothing, as far as it goes. */
export async function asFarAsItGoes(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof NeedsValues)) throw error;
  }
}

class DryBuffer {
  readonly size: number;
  readonly label: string;

  constructor({ size, label = "" }: GPUBufferDescriptor) {
    this.size = size;
    this.label = label;
  }

  destroy(): void {}
  unmap(): void {}

  async mapAsync(): Promise<undefined> {
    throw new NeedsValues();
  }
}

const nothing = (): void => {};

/** What is written to once it is recorded; takes every call that recording makes. */
const PASS = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
const ENCODER = {
  beginComputePass: () => PASS,
  copyBufferToBuffer: nothing,
  clearBuffer: nothing,
  finish: () => ({}),
};

class DryDevice {
  readonly features = new Set<string>();
  readonly lost = new Promise<GPUDeviceLostInfo>(nothing);
  readonly queue = { writeBuffer: nothing, submit: nothing };
  onuncapturederror: GPUDevice["onuncapturederror"] = null;

  createBuffer(descriptor: GPUBufferDescriptor) {
    return new DryBuffer(descriptor);
  }
  createShaderModule() {
    return {};
  }
  createComputePipeline() {
    return { getBindGroupLayout: () => ({}) };
  }
  createBindGroupLayout() {
    return {};
  }
  createPipelineLayout() {
    return {};
  }
  createBindGroup() {
    return {};
  }
  createCommandEncoder() {
    return ENCODER;
  }
  pushErrorScope(): void {}
  async popErrorScope(): Promise<null> {
    return null;
  }
  destroy(): void {}
}

/** The part of a device that `Gpu` uses, with the limits of an adapter. */
export function dryDevice(adapter: Adapter): Device {
  const provider: Device["provider"] = {
    mappedView: () => {
      throw new NeedsValues();
    },
    releaseBindGroup: nothing,
  };
  return { adapter, device: new DryDevice() as DryDevice & GPUDevice, provider, memoryHeaps: () => [], dry: true };
}
