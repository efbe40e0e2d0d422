/**
 * The C interface of Dawn that the package `bun-webgpu` ships: what ingot calls of it, and nothing of the package's own
 * JavaScript.
 *
 * The functions are the package's wrappers `zwgpu…`, which take by address what webgpu.h passes by value.
 */
import { dlopen, type Pointer } from "bun:ffi";
import { UserError } from "../../errors.ts";

const call = <const A extends readonly ("ptr" | "u32" | "u64")[]>(...args: A) => ({ args, returns: "void" }) as const;
const make = <const A extends readonly ("ptr" | "u32" | "u64")[]>(...args: A) => ({ args, returns: "ptr" }) as const;
/** Returns a WGPUStatus. */
const fill = { args: ["ptr", "ptr"], returns: "u32" } as const;

const FUNCTIONS = {
  zwgpuCreateInstance: make("ptr"),
  zwgpuInstanceProcessEvents: call("ptr"),
  zwgpuInstanceRequestAdapter: call("ptr", "ptr", "ptr"),
  zwgpuInstanceRelease: call("ptr"),
  zwgpuAdapterGetInfo: fill,
  zwgpuAdapterGetLimits: fill,
  zwgpuAdapterGetFeatures: call("ptr", "ptr"),
  zwgpuAdapterInfoFreeMembers: call("ptr"),
  zwgpuAdapterRequestDevice: call("ptr", "ptr", "ptr"),
  zwgpuAdapterRelease: call("ptr"),
  zwgpuDeviceGetLimits: fill,
  zwgpuDeviceGetFeatures: call("ptr", "ptr"),
  zwgpuDeviceGetQueue: make("ptr"),
  zwgpuDevicePushErrorScope: call("ptr", "u32"),
  zwgpuDevicePopErrorScope: call("ptr", "ptr"),
  zwgpuDeviceDestroy: call("ptr"),
  zwgpuDeviceRelease: call("ptr"),
  zwgpuDeviceCreateBuffer: make("ptr", "ptr"),
  zwgpuDeviceCreateShaderModule: make("ptr", "ptr"),
  zwgpuDeviceCreateComputePipeline: make("ptr", "ptr"),
  zwgpuDeviceCreateBindGroupLayout: make("ptr", "ptr"),
  zwgpuDeviceCreatePipelineLayout: make("ptr", "ptr"),
  zwgpuDeviceCreateBindGroup: make("ptr", "ptr"),
  zwgpuDeviceCreateQuerySet: make("ptr", "ptr"),
  zwgpuDeviceCreateCommandEncoder: make("ptr", "ptr"),
  zwgpuBufferMapAsync: call("ptr", "u64", "u64", "u64", "ptr"),
  zwgpuBufferGetMappedRange: make("ptr", "u64", "u64"),
  zwgpuBufferGetConstMappedRange: make("ptr", "u64", "u64"),
  zwgpuBufferUnmap: call("ptr"),
  zwgpuBufferDestroy: call("ptr"),
  zwgpuBufferRelease: call("ptr"),
  zwgpuShaderModuleRelease: call("ptr"),
  zwgpuComputePipelineGetBindGroupLayout: make("ptr", "u32"),
  zwgpuComputePipelineRelease: call("ptr"),
  zwgpuBindGroupLayoutRelease: call("ptr"),
  zwgpuPipelineLayoutRelease: call("ptr"),
  zwgpuBindGroupRelease: call("ptr"),
  zwgpuQuerySetDestroy: call("ptr"),
  zwgpuQuerySetRelease: call("ptr"),
  zwgpuCommandEncoderBeginComputePass: make("ptr", "ptr"),
  zwgpuCommandEncoderCopyBufferToBuffer: call("ptr", "ptr", "u64", "ptr", "u64", "u64"),
  zwgpuCommandEncoderClearBuffer: call("ptr", "ptr", "u64", "u64"),
  zwgpuCommandEncoderResolveQuerySet: call("ptr", "ptr", "u32", "u32", "ptr", "u64"),
  zwgpuCommandEncoderFinish: make("ptr", "ptr"),
  zwgpuCommandEncoderRelease: call("ptr"),
  zwgpuComputePassEncoderSetPipeline: call("ptr", "ptr"),
  zwgpuComputePassEncoderSetBindGroup: call("ptr", "u32", "ptr", "u64", "ptr"),
  zwgpuComputePassEncoderDispatchWorkgroups: call("ptr", "u32", "u32", "u32"),
  zwgpuComputePassEncoderEnd: call("ptr"),
  zwgpuComputePassEncoderRelease: call("ptr"),
  zwgpuCommandBufferRelease: call("ptr"),
  zwgpuQueueSubmit: call("ptr", "u64", "ptr"),
  zwgpuQueueWriteBuffer: call("ptr", "ptr", "u64", "ptr", "u64"),
  zwgpuQueueRelease: call("ptr"),
} as const;

async function pathOfLibrary(): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    return ((await import(`bun-webgpu-${platform}`)) as { default: string }).default;
  } catch {
    throw new UserError(`No WebGPU library for ${platform} is installed`, "run: bun install", 1);
  }
}

/** The library, loaded by importing this file; that throws a UserError where the package has none for this platform. */
export const library = dlopen(await pathOfLibrary(), FUNCTIONS).symbols;

export type Library = typeof library;

/** A handle that a call returned. Throws when there is none: the library is out of memory or misused then. */
export function handle(value: Pointer | bigint | null, what: string): Pointer {
  if (!value) throw new Error(`Dawn returned no ${what}`);
  return value as Pointer;
}
