/** Adapters: what they say of themselves, and devices on them. */
import { type Pointer, read } from "bun:ffi";
import { Arena } from "./arena.ts";
import type { Context } from "./context.ts";
import { asStandard, DawnDevice } from "./device.ts";
import { SUCCESS } from "./events.ts";
import { own } from "./own.ts";
import {
  ADAPTER_INFO,
  BACKENDS,
  DEVICE_DESCRIPTOR,
  featureName,
  featureNumber,
  LIMITS,
  MEMORY_HEAP,
  MEMORY_HEAPS,
  ROOM,
  S_TYPE,
  SUPPORTED_FEATURES,
  TOGGLES_DESCRIPTOR,
  unpack,
} from "./structs.ts";

/** Switches of Dawn by name; it ignores names that it does not know. */
export interface Toggles {
  readonly enable: readonly string[];
  readonly disable: readonly string[];
}

export interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly backend: string;
  /** WGPUAdapterType: 1 discrete, 2 integrated, 3 CPU, 4 unknown. */
  readonly type: number;
  /** Invocations per subgroup; 0 where they vary. */
  readonly subgroupSize: number;
}

/** A part of an adapter's memory. */
export interface Heap {
  readonly bytes: number;
  /** On the GPU itself rather than in the host's memory. */
  readonly deviceLocal: boolean;
}

/** WGPUHeapProperty */
const DEVICE_LOCAL = 1;

const LOST_REASONS: readonly (GPUDeviceLostReason | undefined)[] = [undefined, "unknown", "destroyed"];

/** More than there are: the call writes as many as the adapter has. */
const MOST_FEATURES = 1024;

/** Packs a chained struct of toggles; its address. */
export function packToggles(arena: Arena, { enable, disable }: Toggles): Pointer {
  return arena.pack(TOGGLES_DESCRIPTOR, {
    sType: S_TYPE.togglesDescriptor,
    enabledToggleCount: enable.length,
    enabledToggles: arena.strings(enable),
    disabledToggleCount: disable.length,
    disabledToggles: arena.strings(disable),
  });
}

/** A call that fills in a struct about an adapter or a device. */
type Fill = (of: Pointer, into: Pointer) => unknown;

/** The standard's names of the features that `get` reports. */
function readFeatures(arena: Arena, get: Fill, of: Pointer): Set<string> {
  return arena.frame(() => {
    const features = arena.room(4 * MOST_FEATURES);
    const supported = arena.pack(SUPPORTED_FEATURES, { featureCount: MOST_FEATURES, features });
    get(of, supported);
    const { featureCount } = unpack(SUPPORTED_FEATURES, supported);
    const names = Array.from({ length: featureCount }, (_, i) => featureName(read.u32(features, 4 * i)));
    return new Set(names.filter((name) => name !== undefined));
  });
}

function readLimits(arena: Arena, get: Fill, of: Pointer) {
  return arena.frame(() => {
    const limits = arena.room(ROOM);
    get(of, limits);
    const { nextInChain: _, ...numbers } = unpack(LIMITS, limits);
    return numbers;
  });
}

function readInfo({ arena, library }: Context, adapter: Pointer): AdapterInfo {
  return arena.frame(() => {
    const info = arena.pack(ADAPTER_INFO, {});
    library.zwgpuAdapterGetInfo(adapter, info);
    const { vendor, architecture, device, description, backendType, ...found } = unpack(ADAPTER_INFO, info);
    library.zwgpuAdapterInfoFreeMembers(info);
    return {
      vendor,
      architecture,
      device: normalized(device),
      description,
      backend: BACKENDS[backendType] ?? `backend ${backendType}`,
      type: found.adapterType,
      subgroupSize: found.subgroupMinSize === found.subgroupMaxSize ? found.subgroupMinSize : 0,
    };
  });
}

/** A name as the standard's "normalized identifier string". */
const normalized = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");

export class DawnAdapter {
  readonly #context: Context;
  readonly #handle: Pointer;
  readonly #toggles: Toggles;
  readonly info: AdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;

  constructor(context: Context, handle: Pointer, toggles: Toggles) {
    const { arena, library } = context;
    this.#context = context;
    this.#handle = handle;
    this.#toggles = toggles;
    this.info = readInfo(context, handle);
    this.features = readFeatures(arena, library.zwgpuAdapterGetFeatures, handle);
    this.limits = readLimits(arena, library.zwgpuAdapterGetLimits, handle);
    own(this, handle, library.zwgpuAdapterRelease);
  }

  /** The adapter's memory, which the standard does not show; empty where the driver does not say. */
  memoryHeaps(): Heap[] {
    const { arena, library } = this.#context;
    return arena.frame(() => {
      const heaps = arena.pack(MEMORY_HEAPS, { sType: S_TYPE.memoryHeaps });
      const info = arena.pack(ADAPTER_INFO, { nextInChain: heaps });
      library.zwgpuAdapterGetInfo(this.#handle, info);
      library.zwgpuAdapterInfoFreeMembers(info);
      const { heapCount, heapInfo } = unpack(MEMORY_HEAPS, heaps);
      return Array.from({ length: heapCount }, (_, i) => {
        const { properties, size } = unpack(MEMORY_HEAP, (heapInfo + i * MEMORY_HEAP.bytes) as Pointer);
        return { deviceLocal: (properties & DEVICE_LOCAL) !== 0, bytes: size };
      });
    });
  }

  /**
   * A device with the adapter's own limits (a lower one is not worth having) and those of the `wanted` features that it
   * has. Once per adapter. Throws with Dawn's message when there is none.
   */
  async requestDevice(wanted: readonly string[]): Promise<GPUDevice> {
    const { library, events } = this.#context;
    const lost = Promise.withResolvers<GPUDeviceLostInfo>();
    let device: DawnDevice | undefined;
    const callbacks = events.listen({
      lost: (code, message) => {
        lost.resolve({ reason: LOST_REASONS[code] ?? "unknown", message } as GPUDeviceLostInfo);
      },
      error: (type, message) => device?.report(type, message),
    });
    const arena = new Arena(); // held until the answer
    const features = wanted.filter((name) => this.features.has(name)).flatMap((name) => featureNumber(name) ?? []);
    const limits = arena.room(ROOM);
    library.zwgpuAdapterGetLimits(this.#handle, limits);
    const descriptor = arena.pack(DEVICE_DESCRIPTOR, {
      nextInChain: packToggles(arena, this.#toggles),
      requiredFeatureCount: features.length,
      requiredFeatures: arena.words(features),
      requiredLimits: limits,
      ...callbacks,
    });
    const { status, value, message } = await events.ask(
      "object",
      (info) => library.zwgpuAdapterRequestDevice(this.#handle, descriptor, info),
      arena,
    );
    if (status !== SUCCESS) throw new Error(`The adapter gave no device: ${message}`);
    const handle = value as Pointer;
    device = new DawnDevice(this.#context, {
      handle,
      features: readFeatures(this.#context.arena, library.zwgpuDeviceGetFeatures, handle),
      limits: readLimits(this.#context.arena, library.zwgpuDeviceGetLimits, handle),
      lost: lost.promise,
    });
    return asStandard(device);
  }
}
