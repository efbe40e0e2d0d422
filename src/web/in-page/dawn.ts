/** WebGPU as the browser gives it, in the place of `src/gpu/dawn/dawn.ts`. */
import { NodeBinding } from "../../gpu/node-binding.ts";
import type { ProvidedAdapter, ProviderInstance } from "../../gpu/provider.ts";

export const BACKEND = "WebGPU";

/** The standard's own interface needs what Dawn's binding for Node needs, which gives the same. */
const standard = NodeBinding.open({ enable: [], disable: [] }, async () => ({ create: () => navigator.gpu }));

export class Dawn implements ProviderInstance {
  async requestAdapter(options: GPURequestAdapterOptions): Promise<ProvidedAdapter | null> {
    return "gpu" in navigator ? (await standard).requestAdapter(options) : null;
  }

  mappedView(buffer: GPUBuffer): Uint8Array {
    return new Uint8Array(buffer.getMappedRange());
  }

  releaseBindGroup(): void {} // the garbage collector does
}
