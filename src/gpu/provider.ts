/**
 * Who gives out WebGPU: Dawn as `bun-webgpu` ships it, which is installed with everything, or Dawn's own binding for
 * Node, the package `webgpu`, where `INGOT_WEBGPU=webgpu` asks for it. `device.ts` opens one of them.
 */
import { UserError } from "../errors.ts";
import type { AdapterInfo, Heap, Toggles } from "./dawn/adapter.ts";

export const PROVIDERS = ["bun-webgpu", "webgpu"] as const;
export type ProviderName = (typeof PROVIDERS)[number];

/** What the standard's interface lacks. */
export interface Provider {
  /** The mapped memory of a whole buffer, not to be used after `unmap`. */
  mappedView(buffer: GPUBuffer): Uint8Array;
  /** Frees a bind group that nothing will use, where the garbage collector does not. */
  releaseBindGroup(group: GPUBindGroup): void;
}

/** An adapter before a device is opened on it; once per adapter. */
export interface ProvidedAdapter {
  readonly info: AdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;
  /** Sizes of its memory; empty where the provider does not say. */
  memoryHeaps(): Heap[];
  /** A device with the adapter's own limits and those of the wanted features that it has. */
  requestDevice(wanted: readonly string[]): Promise<GPUDevice>;
}

/** One instance of a provider. */
export interface ProviderInstance extends Provider {
  requestAdapter(options: GPURequestAdapterOptions, toggles: Toggles): Promise<ProvidedAdapter | null>;
}

/** The provider that the environment asks for. Throws a UserError when there is none of that name. */
export function providerName(env: Readonly<Record<string, string | undefined>> = process.env): ProviderName {
  const asked = env.INGOT_WEBGPU || "bun-webgpu";
  const found = PROVIDERS.find((name) => name === asked);
  if (!found)
    throw new UserError(
      `INGOT_WEBGPU=${asked}: no such provider`,
      `set INGOT_WEBGPU to ${PROVIDERS.join(" or ")}, or unset it`,
    );
  return found;
}
