/**
 * bun-webgpu (Dawn) behind the standard WebGPU types, with its faults mended. Only `device.ts` imports this file.
 *
 * Mended here: shader source held by pointers to collectable memory, requests that a collection may garble, waiting that spins on a
 * full core, objects that are never released, maps that end the process when the device is lost, an adapter request that falls back
 * to a backend which computes nothing.
 */
import { dlopen, type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { createGPUInstance } from "bun-webgpu";

/** The backend that each platform's drivers speak; asking for it by name keeps Dawn from choosing its null backend. */
export const BACKEND = { linux: "Vulkan", darwin: "Metal", win32: "D3D12" }[process.platform as string] ?? "Vulkan";

/** `backendType` of an adapter that validates every call and runs none. */
export const NULL_BACKEND = 1;

const BACKEND_NAMES = ["undefined", "null", "WebGPU", "D3D11", "D3D12", "Metal", "Vulkan", "OpenGL", "OpenGL ES"];
export const backendName = (backendType: number): string => BACKEND_NAMES[backendType] ?? `backend ${backendType}`;

interface Ticker {
  _ticking: boolean;
  scheduleTick(): void;
  processEvents(): void;
  hasWaiting(): boolean;
}

export interface DawnAdapter extends GPUAdapter {
  readonly info: GPUAdapterInfo & { backendType: number; adapterType: number };
}

const DAWN_TOGGLES = 0x0005000a;
/** Everything that Dawn may still point at: descriptors must outlive the calls that take them. */
const held: unknown[] = [];

/** A DawnTogglesDescriptor: two counted lists of C strings. Unknown toggle names are ignored by Dawn. */
function toggles(enable: readonly string[], disable: readonly string[]): number {
  const list = (names: readonly string[]) => {
    const strings = names.map((name) => Buffer.from(`${name}\0`));
    const pointers = BigUint64Array.from(strings.length ? strings.map((s) => BigInt(ptr(s))) : [0n]);
    held.push(strings, pointers);
    return BigInt(ptr(pointers));
  };
  const chain = new BigUint64Array(6);
  held.push(chain);
  new Uint32Array(chain.buffer)[2] = DAWN_TOGGLES;
  chain[2] = BigInt(enable.length);
  chain[3] = list(enable);
  chain[4] = BigInt(disable.length);
  chain[5] = list(disable);
  return ptr(chain);
}

/** Waits by spinning for the length of a short kernel and then sleeping, so that software drivers keep their cores. */
function quiet(ticker: Ticker): void {
  let since = 0;
  ticker.scheduleTick = () => {
    if (ticker._ticking) return;
    ticker._ticking = true;
    since ||= performance.now();
    const step = () => {
      ticker._ticking = false;
      ticker.processEvents();
      if (ticker.hasWaiting()) ticker.scheduleTick();
      else since = 0;
    };
    if (performance.now() - since < 0.2) setImmediate(step);
    else setTimeout(step, 1);
  };
}

/**
 * The binding names this class where a pending map is aborted (the device was lost) but does not define it: without one, the
 * callback throws outside of any promise, which ends the process, and the map never settles.
 */
class AbortError extends Error {
  override readonly name = "AbortError";
}

let instance: (GPU & { _ticker?: Ticker }) | undefined;

function gpuInstance(): GPU {
  if (!instance) {
    if (!("AbortError" in globalThis)) Object.assign(globalThis, { AbortError });
    instance = createGPUInstance() as unknown as GPU & { _ticker?: Ticker };
    if (instance._ticker) quiet(instance._ticker);
  }
  return instance;
}

/** Forgets the instance, so that the next request sees drivers that were put in place since. */
export function reopen(): void {
  instance = undefined;
}

export interface DawnOptions {
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
}

/**
 * Collects garbage now, so that none is collected in the next moment: the binding packs descriptors into arrays that nothing holds until
 * Dawn has read them (measured once: "Invalid feature required: Value 730"). Takes a millisecond or two.
 */
const settle = () => Bun.gc(true);

/** Asks for one adapter; null when no driver of the platform's backend answers. */
export async function requestAdapter(
  options: GPURequestAdapterOptions & DawnOptions,
): Promise<{ adapter: DawnAdapter; chain: number } | null> {
  const chain = toggles(options.enable ?? [], options.disable ?? []);
  const { enable: _e, disable: _d, ...standard } = options;
  const request = { ...standard, backendType: BACKEND, nextInChain: chain };
  const gpu = gpuInstance();
  settle();
  const adapter = (await gpu.requestAdapter(request as GPURequestAdapterOptions)) as DawnAdapter | null;
  return adapter && { adapter, chain };
}

/** Asks for a device with every limit of the adapter: Dawn compares limits that are left out with zero. */
export async function requestDevice(
  adapter: DawnAdapter,
  chain: number,
  wanted: readonly string[],
): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = { ...(adapter.limits as unknown as Record<string, number>) };
  delete requiredLimits.__brand;
  const requiredFeatures = wanted.filter((feature) => adapter.features.has(feature as GPUFeatureName));
  const descriptor = { requiredLimits, requiredFeatures, nextInChain: chain };
  settle();
  return adapter.requestDevice(descriptor as unknown as GPUDeviceDescriptor);
}

type Native = { lib?: Record<string, (pointer: unknown) => void>; ptr?: unknown; destroy?: () => void };

/** Releases an object that the binding would leak (about 1 kB each); other providers collect by themselves. */
export function release(object: unknown, kind: "ComputePassEncoder" | "CommandBuffer" | "Buffer" | "QuerySet"): void {
  const native = object as Native;
  native.lib?.[`wgpu${kind}Release`]?.(native.ptr);
}

/** Frees a bind group at once (4.8 kB each otherwise). */
export function releaseBindGroup(group: GPUBindGroup): void {
  (group as unknown as Native).destroy?.();
}

const views = new WeakMap<GPUBuffer, { at: number; view: Uint8Array }>();

/**
 * The mapped memory of a whole buffer. The binding makes a new ArrayBuffer for every mapping and detaches it by a structured
 * clone, which took a tenth of a merge; memory that is mapped at the same address again is seen through the same view here.
 * The view must not be used after `unmap`.
 */
export function mappedView(buffer: GPUBuffer): Uint8Array {
  const native = buffer as unknown as { getMappedRangePtr(offset: number, size: number): number };
  const at = Number(native.getMappedRangePtr(0, buffer.size));
  const known = views.get(buffer);
  if (known?.at === at) return known.view;
  const view = new Uint8Array(toArrayBuffer(at as Pointer, 0, buffer.size));
  views.set(buffer, { at, view });
  return view;
}

type CreateShaderModule = (device: unknown, descriptor: unknown) => unknown;
let createModule: CreateShaderModule | undefined;
const lastModule: unknown[][] = [];

async function nativeCreateShaderModule(): Promise<CreateShaderModule> {
  const library = ((await import(`bun-webgpu-${process.platform}-${process.arch}`)) as { default: string }).default;
  const { symbols } = dlopen(library, { wgpuDeviceCreateShaderModule: { args: ["ptr", "ptr"], returns: "ptr" } });
  return symbols.wgpuDeviceCreateShaderModule as unknown as CreateShaderModule;
}

const SHADER_SOURCE_WGSL = 2n;

/**
 * A shader module whose source is held until the call returns. The binding packs pointers to memory that the collector may
 * take first; under memory pressure that corrupted 0.7 % of sources.
 */
export async function shaderModule(device: GPUDevice, code: string, label: string): Promise<GPUShaderModule> {
  createModule ??= await nativeCreateShaderModule();
  const text = Buffer.from(code);
  const name = Buffer.from(label || " ");
  const source = new BigUint64Array([0n, SHADER_SOURCE_WGSL, BigInt(ptr(text)), BigInt(text.byteLength)]);
  const descriptor = new BigUint64Array([BigInt(ptr(source)), BigInt(ptr(name)), BigInt(name.byteLength)]);
  const module = { ptr: createModule((device as unknown as Native).ptr, ptr(descriptor)), label };
  // Kept until the next call, so that none of them can be collected before this one returns.
  lastModule[0] = [text, name, source, descriptor];
  return module as unknown as GPUShaderModule;
}
