/**
 * Structs of webgpu.h, as the Dawn in bun-webgpu 0.1.7 lays them out (June 2025), and what is read back from the native
 * side. `test/gpu/dawn/structs.test.ts` compares them byte for byte with what that package packs.
 */
import { type Pointer, read, toArrayBuffer } from "bun:ffi";
import { type Fields, type Struct, struct } from "./arena.ts";

export const REQUEST_ADAPTER_OPTIONS = struct({
  nextInChain: "pointer",
  featureLevel: "u32",
  powerPreference: "u32",
  forceFallbackAdapter: "u32",
  backendType: "u32",
  compatibleSurface: "pointer",
});

export const TOGGLES_DESCRIPTOR = struct({
  next: "pointer",
  sType: "u32",
  enabledToggleCount: "u64",
  enabledToggles: "pointer",
  disabledToggleCount: "u64",
  disabledToggles: "pointer",
});

export const CALLBACK_INFO = struct({
  nextInChain: "pointer",
  mode: "u32",
  callback: "pointer",
  userdata1: "pointer",
  userdata2: "pointer",
});

export const DEVICE_DESCRIPTOR = struct({
  nextInChain: "pointer",
  label: "text",
  requiredFeatureCount: "u64",
  requiredFeatures: "pointer",
  requiredLimits: "pointer",
  queueNextInChain: "pointer",
  queueLabel: "text",
  lostNextInChain: "pointer",
  lostMode: "u32",
  lostCallback: "pointer",
  lostUserdata1: "pointer",
  lostUserdata2: "pointer",
  errorNextInChain: "pointer",
  errorCallback: "pointer",
  errorUserdata1: "pointer",
  errorUserdata2: "pointer",
});

export const BUFFER_DESCRIPTOR = struct({
  nextInChain: "pointer",
  label: "text",
  usage: "u64",
  size: "u64",
  mappedAtCreation: "u32",
});

export const SHADER_SOURCE_WGSL = struct({ next: "pointer", sType: "u32", code: "text" });

/** Of a shader module, a command encoder and a command buffer alike. */
export const LABEL_DESCRIPTOR = struct({ nextInChain: "pointer", label: "text" });

export const CONSTANT_ENTRY = struct({ nextInChain: "pointer", key: "text", value: "f64" });

export const COMPUTE_PIPELINE_DESCRIPTOR = struct({
  nextInChain: "pointer",
  label: "text",
  layout: "pointer",
  computeNextInChain: "pointer",
  module: "pointer",
  entryPoint: "text",
  constantCount: "u64",
  constants: "pointer",
});

/** A binding of a buffer; what it has for samplers and textures stays zero, which says that it is none of them. */
export const BIND_GROUP_LAYOUT_ENTRY = struct({
  nextInChain: "pointer",
  binding: "u32",
  visibility: "u64",
  // The library for Windows is built without it.
  ...(process.platform === "win32" ? {} : { bindingArraySize: "u32" as const }),
  bufferNextInChain: "pointer",
  bufferType: "u32",
  hasDynamicOffset: "u32",
  minBindingSize: "u64",
  samplerNextInChain: "pointer",
  samplerType: "u32",
  textureNextInChain: "pointer",
  textureSampleType: "u32",
  textureViewDimension: "u32",
  textureMultisampled: "u32",
  storageTextureNextInChain: "pointer",
  storageTextureAccess: "u32",
  storageTextureFormat: "u32",
  storageTextureViewDimension: "u32",
});

export const BIND_GROUP_LAYOUT_DESCRIPTOR = struct({
  nextInChain: "pointer",
  label: "text",
  entryCount: "u64",
  entries: "pointer",
});

export const PIPELINE_LAYOUT_DESCRIPTOR = struct({
  nextInChain: "pointer",
  label: "text",
  bindGroupLayoutCount: "u64",
  bindGroupLayouts: "pointer",
  immediateSize: "u32",
});

export const BIND_GROUP_ENTRY = struct({
  nextInChain: "pointer",
  binding: "u32",
  buffer: "pointer",
  offset: "u64",
  size: "u64",
  sampler: "pointer",
  textureView: "pointer",
});

export const BIND_GROUP_DESCRIPTOR = struct({
  nextInChain: "pointer",
  label: "text",
  layout: "pointer",
  entryCount: "u64",
  entries: "pointer",
});

export const COMPUTE_PASS_DESCRIPTOR = struct({ nextInChain: "pointer", label: "text", timestampWrites: "pointer" });

export const TIMESTAMP_WRITES = struct({
  nextInChain: "pointer",
  querySet: "pointer",
  beginningOfPassWriteIndex: "u32",
  endOfPassWriteIndex: "u32",
});

export const QUERY_SET_DESCRIPTOR = struct({ nextInChain: "pointer", label: "text", type: "u32", count: "u32" });

export const ADAPTER_INFO = struct({
  nextInChain: "pointer",
  vendor: "text",
  architecture: "text",
  device: "text",
  description: "text",
  backendType: "u32",
  adapterType: "u32",
  vendorID: "u32",
  deviceID: "u32",
  subgroupMinSize: "u32",
  subgroupMaxSize: "u32",
});

/** Chained to an adapter's info: its memory heaps. */
export const MEMORY_HEAPS = struct({ next: "pointer", sType: "u32", heapCount: "u64", heapInfo: "pointer" });
export const MEMORY_HEAP = struct({ properties: "u64", size: "u64" });

export const SUPPORTED_FEATURES = struct({ featureCount: "u64", features: "pointer" });

export const LIMITS = struct({
  nextInChain: "pointer",
  maxTextureDimension1D: "u32",
  maxTextureDimension2D: "u32",
  maxTextureDimension3D: "u32",
  maxTextureArrayLayers: "u32",
  maxBindGroups: "u32",
  maxBindGroupsPlusVertexBuffers: "u32",
  maxBindingsPerBindGroup: "u32",
  maxDynamicUniformBuffersPerPipelineLayout: "u32",
  maxDynamicStorageBuffersPerPipelineLayout: "u32",
  maxSampledTexturesPerShaderStage: "u32",
  maxSamplersPerShaderStage: "u32",
  maxStorageBuffersPerShaderStage: "u32",
  maxStorageTexturesPerShaderStage: "u32",
  maxUniformBuffersPerShaderStage: "u32",
  maxUniformBufferBindingSize: "u64",
  maxStorageBufferBindingSize: "u64",
  minUniformBufferOffsetAlignment: "u32",
  minStorageBufferOffsetAlignment: "u32",
  maxVertexBuffers: "u32",
  maxBufferSize: "u64",
  maxVertexAttributes: "u32",
  maxVertexBufferArrayStride: "u32",
  maxInterStageShaderVariables: "u32",
  maxColorAttachments: "u32",
  maxColorAttachmentBytesPerSample: "u32",
  maxComputeWorkgroupStorageSize: "u32",
  maxComputeInvocationsPerWorkgroup: "u32",
  maxComputeWorkgroupSizeX: "u32",
  maxComputeWorkgroupSizeY: "u32",
  maxComputeWorkgroupSizeZ: "u32",
  maxComputeWorkgroupsPerDimension: "u32",
  maxImmediateSize: "u32",
});

/**
 * Bytes to give a call that fills in a struct: more than any of them has, so that a newer library writes inside it too.
 */
export const ROOM = 512;

/** WGPUSType of structs that are chained to others. */
export const S_TYPE = { shaderSourceWgsl: 2, togglesDescriptor: 0x0005000a, memoryHeaps: 0x00050013 } as const;

export const BACKENDS = ["undefined", "null", "WebGPU", "D3D11", "D3D12", "Metal", "Vulkan", "OpenGL", "OpenGL ES"];

export const POWER_PREFERENCE = { "low-power": 1, "high-performance": 2 } as const;

export const ERROR_FILTER = { validation: 1, "out-of-memory": 2, internal: 3 } as const;

export const BUFFER_BINDING_TYPE = { uniform: 2, storage: 3, "read-only-storage": 4 } as const;

export const QUERY_TYPE = { occlusion: 1, timestamp: 2 } as const;

/** Names of the standard's features by their value. */
export const FEATURES: readonly (string | undefined)[] = [
  undefined,
  "depth-clip-control",
  "depth32float-stencil8",
  "timestamp-query",
  "texture-compression-bc",
  "texture-compression-bc-sliced-3d",
  "texture-compression-etc2",
  "texture-compression-astc",
  "texture-compression-astc-sliced-3d",
  "indirect-first-instance",
  "shader-f16",
  "rg11b10ufloat-renderable",
  "bgra8unorm-storage",
  "float32-filterable",
  "float32-blendable",
  "clip-distances",
  "dual-source-blending",
  "subgroups",
  "core-features-and-limits",
];

/** Dawn's own features that are of use here; the values are those of the library that bun-webgpu ships. */
const OWN_FEATURES: Readonly<Record<string, number>> = { "buffer-map-extended-usages": 0x50014 };

/** The name of a feature by its value; undefined for one that is of no use here. */
export const featureName = (value: number): string | undefined =>
  FEATURES[value] ?? Object.keys(OWN_FEATURES).find((name) => OWN_FEATURES[name] === value);

/** The value of a feature by its name. */
export function featureNumber(name: string): number | undefined {
  const value = FEATURES.indexOf(name);
  return value >= 0 ? value : OWN_FEATURES[name];
}

type Unpacked<F extends Fields> = { readonly [name in keyof F]: F[name] extends "text" ? string : number };

/** A copy of text that the native side owns. */
export function copyText(address: number, bytes: number): string {
  if (address === 0 || bytes === 0) return "";
  return Buffer.from(toArrayBuffer(address as Pointer, 0, bytes)).toString();
}

/** A struct that the native side has filled in, as copies: text as strings, everything else as numbers. */
export function unpack<F extends Fields>(layout: Struct<F>, at: Pointer): Unpacked<F> {
  const values = layout.fields.map(({ name, kind, offset }) => {
    if (kind === "text") return [name, copyText(read.ptr(at, offset), Number(read.u64(at, offset + 8)))];
    if (kind === "f64") return [name, read.f64(at, offset)];
    return [name, kind === "u32" ? read.u32(at, offset) : Number(read.u64(at, offset))];
  });
  return Object.fromEntries(values) as Unpacked<F>;
}
