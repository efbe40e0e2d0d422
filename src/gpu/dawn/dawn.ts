/**
 * WebGPU by Dawn, as the package `bun-webgpu` ships it: the part that computes, over Dawn's C interface. Only
 * `../device.ts` imports this folder; everything else sees the standard's types.
 *
 * The package's own JavaScript is not used. It packs descriptors into memory that the garbage collector may take before
 * the native side reads it: under a collector that never rests, one device request in four failed and one pipeline in
 * some thousands was made from a garbled entry point or constant. It also leaks what is recorded, submitted and bound,
 * spins on a full core while it waits, and falls back to a backend that computes nothing. Here every descriptor lies in
 * an `Arena` that outlives the call.
 */
import type { Pointer } from "bun:ffi";
import { DawnAdapter, packToggles, type Toggles } from "./adapter.ts";
import { Arena } from "./arena.ts";
import type { DawnBuffer } from "./buffer.ts";
import { type Context, takeHandle } from "./context.ts";
import { Events, SUCCESS } from "./events.ts";
import { handle, library } from "./library.ts";
import { BACKENDS, POWER_PREFERENCE, REQUEST_ADAPTER_OPTIONS } from "./structs.ts";

/** The backend that each platform's drivers speak; asking for it by name keeps Dawn from choosing its null backend. */
export const BACKEND = { linux: "Vulkan", darwin: "Metal", win32: "D3D12" }[process.platform as string] ?? "Vulkan";

const REQUEST_UNAVAILABLE = 3;

/** One instance of Dawn: adapters are asked for here. Devices of one instance share its events. */
export class Dawn {
  readonly #context: Context;
  readonly #instance: Pointer;

  /** Opens an instance, which sees the drivers that are in place now. It lasts as long as anything of it is in use. */
  constructor() {
    this.#instance = handle(library.zwgpuCreateInstance(null), "instance");
    const arena = new Arena();
    this.#context = { library, arena, events: new Events(library, this.#instance, arena) };
  }

  /** Asks for one adapter of the platform's backend; null when no driver answers. */
  async requestAdapter(options: GPURequestAdapterOptions, toggles: Toggles): Promise<DawnAdapter | null> {
    const { events } = this.#context;
    const arena = new Arena(); // held until the answer
    const packed = arena.pack(REQUEST_ADAPTER_OPTIONS, {
      nextInChain: packToggles(arena, toggles),
      powerPreference: options.powerPreference && POWER_PREFERENCE[options.powerPreference],
      forceFallbackAdapter: Number(options.forceFallbackAdapter ?? false),
      backendType: BACKENDS.indexOf(BACKEND),
    });
    const { status, value, message } = await events.ask(
      "object",
      (info) => library.zwgpuInstanceRequestAdapter(this.#instance, packed, info),
      arena,
    );
    if (status === REQUEST_UNAVAILABLE) return null;
    if (status !== SUCCESS) throw new Error(`Asking for an adapter failed: ${message}`);
    return new DawnAdapter(this.#context, value as Pointer, toggles);
  }

  /** The mapped memory of a whole buffer, not to be used after `unmap`; cheaper than `getMappedRange`. */
  mappedView(buffer: GPUBuffer): Uint8Array {
    return (buffer as DawnBuffer).mappedView();
  }

  /** Frees a bind group at once: it holds 5 kB that the garbage collector does not see. */
  releaseBindGroup(group: GPUBindGroup): void {
    this.#context.library.zwgpuBindGroupRelease(takeHandle(group));
  }
}
