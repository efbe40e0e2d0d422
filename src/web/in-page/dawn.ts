/** WebGPU as the browser gives it, in the place of `src/gpu/dawn/dawn.ts` and of `src/gpu/node-binding.ts`. */
import type { ProvidedAdapter, ProviderInstance } from "../../gpu/provider.ts";
import { StandardAdapter } from "../../gpu/standard-adapter.ts";

export const BACKEND = "WebGPU";

export class Dawn implements ProviderInstance {
  async requestAdapter(options: GPURequestAdapterOptions): Promise<ProvidedAdapter | null> {
    const adapter = "gpu" in navigator ? await navigator.gpu.requestAdapter(options) : null;
    return adapter && new StandardAdapter(adapter, BACKEND);
  }

  mappedView(buffer: GPUBuffer): Uint8Array {
    return new Uint8Array(buffer.getMappedRange());
  }

  releaseBindGroup(): void {} // the garbage collector does
}
