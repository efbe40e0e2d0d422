/** A device: what it makes, and what it reports. */
import type { Pointer } from "bun:ffi";
import { DawnBuffer } from "./buffer.ts";
import { type Context, handleOf, type Native } from "./context.ts";
import { DawnCommandEncoder, DawnQueue } from "./encoder.ts";
import { SUCCESS } from "./events.ts";
import { handle } from "./library.ts";
import { own } from "./own.ts";
import {
  BIND_GROUP_DESCRIPTOR,
  BIND_GROUP_ENTRY,
  BIND_GROUP_LAYOUT_DESCRIPTOR,
  BIND_GROUP_LAYOUT_ENTRY,
  BUFFER_BINDING_TYPE,
  COMPUTE_PIPELINE_DESCRIPTOR,
  CONSTANT_ENTRY,
  ERROR_FILTER,
  LABEL_DESCRIPTOR,
  PIPELINE_LAYOUT_DESCRIPTOR,
  QUERY_SET_DESCRIPTOR,
  QUERY_TYPE,
  S_TYPE,
  SHADER_SOURCE_WGSL,
} from "./structs.ts";

/** What is implemented of the standard's interface: all that computes, nothing that draws. */
export type ComputeDevice = Pick<
  GPUDevice,
  | "features"
  | "limits"
  | "queue"
  | "lost"
  | "onuncapturederror"
  | "createBuffer"
  | "createShaderModule"
  | "createComputePipeline"
  | "createBindGroupLayout"
  | "createPipelineLayout"
  | "createBindGroup"
  | "createQuerySet"
  | "createCommandEncoder"
  | "pushErrorScope"
  | "popErrorScope"
  | "destroy"
>;

/** WGPUErrorType of a scope that caught nothing. */
const NO_ERROR = 1;

/** The standard's names of errors, by WGPUErrorType. */
const ERROR_NAMES = ["GPUError", "GPUError", "GPUValidationError", "GPUOutOfMemoryError", "GPUInternalError"];

/** An error that a device reports or an error scope catches. */
class GpuError extends Error {
  constructor(type: number, message: string) {
    super(message);
    this.name = ERROR_NAMES[type] ?? "GPUError";
  }
}

/** What a device has from the moment that it is made. */
export interface DeviceParts {
  readonly handle: Pointer;
  readonly features: GPUSupportedFeatures;
  readonly limits: Readonly<Record<string, number>>;
  readonly lost: Promise<GPUDeviceLostInfo>;
}

export class DawnDevice implements ComputeDevice, Native {
  readonly #context: Context;
  readonly handle: Pointer;
  readonly features: GPUSupportedFeatures;
  readonly limits: GPUSupportedLimits;
  readonly lost: Promise<GPUDeviceLostInfo>;
  readonly queue: GPUQueue;
  onuncapturederror: GPUDevice["onuncapturederror"] = null;

  constructor(context: Context, parts: DeviceParts) {
    this.#context = context;
    this.handle = parts.handle;
    this.features = parts.features;
    this.limits = parts.limits as typeof parts.limits & GPUSupportedLimits;
    this.lost = parts.lost;
    const { library } = context;
    const queue = new DawnQueue(context, handle(library.zwgpuDeviceGetQueue(parts.handle), "queue"));
    this.queue = queue as DawnQueue & GPUQueue;
    own(this, parts.handle, library.zwgpuDeviceRelease);
  }

  /** Reports an error that no scope caught. */
  report(type: number, message: string): void {
    const event = Object.assign(new Event("uncapturederror"), { error: new GpuError(type, message) });
    this.onuncapturederror?.call(asStandard(this), event as typeof event & GPUUncapturedErrorEvent);
  }

  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    return new DawnBuffer(this.#context, this.handle, descriptor);
  }

  createShaderModule({ label = "", code }: GPUShaderModuleDescriptor): GPUShaderModule {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const source = arena.pack(SHADER_SOURCE_WGSL, { sType: S_TYPE.shaderSourceWgsl, code });
      const packed = arena.pack(LABEL_DESCRIPTOR, { nextInChain: source, label });
      return handle(library.zwgpuDeviceCreateShaderModule(this.handle, packed), "shader module");
    });
    return own({ handle: native, label }, native, library.zwgpuShaderModuleRelease) as Native & GPUShaderModule;
  }

  /** Of buffers; nothing else is implemented. */
  createBindGroupLayout({ label = "", entries }: GPUBindGroupLayoutDescriptor): GPUBindGroupLayout {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const packed = Array.from(entries, ({ binding, visibility, buffer = {} }) => {
        const { type = "uniform", hasDynamicOffset = false, minBindingSize = 0 } = buffer;
        const bufferType = BUFFER_BINDING_TYPE[type];
        return { binding, visibility, bufferType, hasDynamicOffset: Number(hasDynamicOffset), minBindingSize };
      });
      const list = arena.array(BIND_GROUP_LAYOUT_ENTRY, packed);
      const descriptor = arena.pack(BIND_GROUP_LAYOUT_DESCRIPTOR, { label, entryCount: packed.length, entries: list });
      return handle(library.zwgpuDeviceCreateBindGroupLayout(this.handle, descriptor), "bind group layout");
    });
    return own({ handle: native, label }, native, library.zwgpuBindGroupLayoutRelease) as Native & GPUBindGroupLayout;
  }

  createPipelineLayout({ label = "", bindGroupLayouts }: GPUPipelineLayoutDescriptor): GPUPipelineLayout {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const handles = Array.from(bindGroupLayouts, (layout) => (layout ? handleOf(layout) : null));
      const counted = { bindGroupLayoutCount: handles.length, bindGroupLayouts: arena.pointers(handles) };
      const packed = arena.pack(PIPELINE_LAYOUT_DESCRIPTOR, { label, ...counted });
      return handle(library.zwgpuDeviceCreatePipelineLayout(this.handle, packed), "pipeline layout");
    });
    return own({ handle: native, label }, native, library.zwgpuPipelineLayoutRelease) as Native & GPUPipelineLayout;
  }

  /** Needs an entry point by name. The layout "auto" is read out of the shader. */
  createComputePipeline({ label = "", layout, compute }: GPUComputePipelineDescriptor): GPUComputePipeline {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const constants = Object.entries(compute.constants ?? {}).map(([key, value]) => ({ key, value: Number(value) }));
      const packed = arena.pack(COMPUTE_PIPELINE_DESCRIPTOR, {
        label,
        layout: layout === "auto" ? null : handleOf(layout),
        module: handleOf(compute.module),
        entryPoint: compute.entryPoint,
        constantCount: constants.length,
        constants: arena.array(CONSTANT_ENTRY, constants),
      });
      return handle(library.zwgpuDeviceCreateComputePipeline(this.handle, packed), "compute pipeline");
    });
    const pipeline = {
      handle: native,
      label,
      getBindGroupLayout: (index: number) => {
        const layout = handle(library.zwgpuComputePipelineGetBindGroupLayout(native, index), "bind group layout");
        const wrapper = own({ handle: layout, label: "" }, layout, library.zwgpuBindGroupLayoutRelease);
        return wrapper as Native & GPUBindGroupLayout;
      },
    };
    return own(pipeline, native, library.zwgpuComputePipelineRelease) as typeof pipeline & GPUComputePipeline;
  }

  /** Binds buffers; nothing else is implemented. The group has to be given to `Dawn.releaseBindGroup`. */
  createBindGroup({ label = "", layout, entries }: GPUBindGroupDescriptor): GPUBindGroup {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const packed = Array.from(entries, ({ binding, resource }) => {
        const bound = ("buffer" in resource ? resource : { buffer: resource }) as GPUBufferBinding;
        const { buffer, offset = 0, size = buffer.size - offset } = bound;
        return { binding, buffer: handleOf(buffer), offset, size };
      });
      const descriptor = arena.pack(BIND_GROUP_DESCRIPTOR, {
        label,
        layout: handleOf(layout),
        entryCount: packed.length,
        entries: arena.array(BIND_GROUP_ENTRY, packed),
      });
      return handle(library.zwgpuDeviceCreateBindGroup(this.handle, descriptor), "bind group");
    });
    return { handle: native, label } as Native & GPUBindGroup;
  }

  createQuerySet({ label = "", type, count }: GPUQuerySetDescriptor): GPUQuerySet {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const packed = arena.pack(QUERY_SET_DESCRIPTOR, { label, type: QUERY_TYPE[type], count });
      return handle(library.zwgpuDeviceCreateQuerySet(this.handle, packed), "query set");
    });
    const set = { handle: native, label, type, count, destroy: () => library.zwgpuQuerySetDestroy(native) };
    return own(set, native, library.zwgpuQuerySetRelease) as typeof set & GPUQuerySet;
  }

  createCommandEncoder({ label }: GPUCommandEncoderDescriptor = {}): GPUCommandEncoder {
    const encoder = new DawnCommandEncoder(this.#context, this.handle, label);
    return encoder as DawnCommandEncoder & GPUCommandEncoder;
  }

  pushErrorScope(filter: GPUErrorFilter): undefined {
    this.#context.library.zwgpuDevicePushErrorScope(this.handle, ERROR_FILTER[filter]);
  }

  /** The first error since the scope was opened, or null. Rejects when there is no scope or the device was lost. */
  async popErrorScope(): Promise<GPUError | null> {
    const { library, events } = this.#context;
    const answer = await events.ask("scope", (info) => library.zwgpuDevicePopErrorScope(this.handle, info));
    if (answer.status !== SUCCESS) throw new DOMException(answer.message, "OperationError");
    return answer.value === NO_ERROR ? null : new GpuError(answer.value, answer.message);
  }

  destroy(): undefined {
    this.#context.library.zwgpuDeviceDestroy(this.handle);
    this.#context.events.process(); // what is pending is answered now
  }
}

/** The device as the standard has it; what draws is missing. */
export const asStandard = (device: DawnDevice): GPUDevice => device as DawnDevice & GPUDevice;
