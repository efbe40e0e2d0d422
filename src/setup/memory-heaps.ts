/**
 * How much memory an adapter has, which WebGPU does not say: Dawn's C interface does, through a struct chained to the
 * adapter's info.
 */
import { dlopen, ptr, toArrayBuffer } from "bun:ffi";

export interface Heap {
  readonly bytes: number;
  /** On the GPU itself rather than in the host's memory. */
  readonly deviceLocal: boolean;
}

const MEMORY_HEAPS = 0x00050013;
const DEVICE_LOCAL = 1n;
/** More than WGPUAdapterInfo has in any version: the chain pointer comes first, the rest is only written. */
const INFO_BYTES = 512;

/** The memory heaps behind a device; empty where the provider has no such call. */
export async function memoryHeaps(device: GPUDevice): Promise<Heap[]> {
  const native = (device as unknown as { ptr?: number }).ptr;
  if (!native) return [];
  try {
    const library = ((await import(`bun-webgpu-${process.platform}-${process.arch}`)) as { default: string }).default;
    const { symbols } = dlopen(library, { wgpuDeviceGetAdapterInfo: { args: ["ptr", "ptr"], returns: "u32" } });
    const chain = new BigUint64Array(4); // next, sType, count, array
    new Uint32Array(chain.buffer)[2] = MEMORY_HEAPS;
    const info = new BigUint64Array(INFO_BYTES / 8);
    info[0] = BigInt(ptr(chain));
    symbols.wgpuDeviceGetAdapterInfo(native as never, ptr(info));
    const count = Number(chain[2]);
    const address = Number(chain[3]);
    if (count === 0 || address === 0) return [];
    const heaps = new BigUint64Array(toArrayBuffer(address as never, 0, count * 16));
    return Array.from({ length: count }, (_, i) => ({
      deviceLocal: ((heaps[2 * i] ?? 0n) & DEVICE_LOCAL) !== 0n,
      bytes: Number(heaps[2 * i + 1] ?? 0n),
    }));
  } catch {
    return [];
  }
}
