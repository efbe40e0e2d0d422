/**
 * Finding an adapter and opening a device on it. The only file that knows which provider of WebGPU runs; everything else
 * sees a standard `GPUDevice`.
 */
import { UserError } from "../errors.ts";
import type { DawnAdapter } from "./dawn.ts";

export type AdapterType = "discrete" | "integrated" | "cpu" | "unknown";

/** What an adapter says of itself. */
export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly backend: string;
  readonly type: AdapterType;
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
  /** Invocations per subgroup; 0 where it varies or the feature is missing. */
  readonly subgroupSize: number;
}

/** An open device and what belongs to it. */
export interface Device {
  readonly adapter: Adapter;
  readonly device: GPUDevice;
  /** Provider's own calls, already bound. */
  readonly provider: typeof import("./dawn.ts");
}

const TYPES: readonly AdapterType[] = ["unknown", "discrete", "integrated", "cpu"];

/** Reported as 4 GiB by some NVIDIA drivers that then read sizes of 2 GiB and more as 0. */
const SAFE_BINDING_BYTES = 2 ** 31 - 4;

const WANTED = ["timestamp-query", "subgroups", "shader-f16"];

/**
 * Robustness checks stay on: switching them off made no measurable difference on software Vulkan (Dawn leaves bounds to the
 * driver there), and with them off an out-of-range index is undefined behaviour rather than a wrong number. `INGOT_DAWN_ENABLE`
 * and `INGOT_DAWN_DISABLE` (comma-separated Dawn toggles) are there to measure others.
 */
const toggleNames = (variable: string): string[] => process.env[variable]?.split(",").filter(Boolean) ?? [];

const QUERIES: readonly GPURequestAdapterOptions[] = [
  { powerPreference: "high-performance" },
  { powerPreference: "low-power" },
  { forceFallbackAdapter: true },
];

function describe(adapter: DawnAdapter, provider: typeof import("./dawn.ts")): Adapter {
  const { info } = adapter;
  const limits: Record<string, number> = {};
  for (const [key, value] of Object.entries(adapter.limits)) if (typeof value === "number") limits[key] = value;
  limits.maxStorageBufferBindingSize = Math.min(limits.maxStorageBufferBindingSize ?? 2 ** 27, SAFE_BINDING_BYTES);
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    backend: provider.backendName(info.backendType),
    type: TYPES[info.adapterType] ?? "unknown",
    limits,
    features: [...adapter.features],
    subgroupSize:
      info.subgroupMinSize === info.subgroupMaxSize && adapter.features.has("subgroups")
        ? (info.subgroupMinSize ?? 0)
        : 0,
  };
}

const isReal = (adapter: DawnAdapter, nullBackend: number) =>
  adapter.info.backendType !== nullBackend && adapter.info.device !== "null-backend";

type Provider = typeof import("./dawn.ts");

type Found = { adapter: DawnAdapter; chain: number; described: Adapter };

async function findAdapters(provider: Provider, firstOnly: boolean): Promise<Found[]> {
  const found: Found[] = [];
  const toggles = {
    enable: toggleNames("INGOT_DAWN_ENABLE"),
    disable: ["timestamp_quantization", ...toggleNames("INGOT_DAWN_DISABLE")],
  };
  for (const query of QUERIES) {
    const answer = await provider.requestAdapter({ ...query, ...toggles });
    if (!answer || !isReal(answer.adapter, provider.NULL_BACKEND)) continue;
    const described = describe(answer.adapter, provider);
    const known = found.some((f) => f.described.device === described.device && f.described.type === described.type);
    if (!known) found.push({ ...answer, described });
    // A software driver is the last resort of every query: when it answers the first one there is no other.
    if (described.type === "cpu" || firstOnly) break;
  }
  return found;
}

/** Finds adapters; where the system has no driver, or only one that the provider refuses, with a software driver of our own. */
async function adapters(firstOnly: boolean): Promise<{ provider: Provider; found: Found[] }> {
  const { useSwiftShader } = await import("./swiftshader.ts");
  useSwiftShader();
  const provider = await import("./dawn.ts");
  let found = await findAdapters(provider, firstOnly);
  if (found.length === 0 && useSwiftShader("always")) {
    provider.reopen();
    found = await findAdapters(provider, firstOnly);
  }
  return { provider, found };
}

/** Every adapter that answers, best first. Adapters that compute nothing are left out. */
export async function listAdapters(): Promise<Adapter[]> {
  return (await adapters(false)).found.map((f) => f.described);
}

/** True when `wanted` ("cpu", "discrete", "nvidia", part of a name) means this adapter. */
export function matchesDevice(adapter: Adapter, wanted: string): boolean {
  const text = wanted.toLowerCase();
  if (text === adapter.type) return true;
  if (text === "gpu") return adapter.type !== "cpu";
  if (text === "software") return adapter.type === "cpu";
  return [adapter.vendor, adapter.device, adapter.description].some((part) => part.toLowerCase().includes(text));
}

/**
 * Opens the best adapter, or the one that `wanted` names, with all of its limits.
 * Throws a UserError when none answers: the provider would otherwise hand out one that computes nothing.
 */
export async function openDevice(wanted?: string): Promise<Device> {
  const { provider, found } = await adapters(wanted === undefined);
  if (found.length === 0) {
    throw new UserError(
      `No ${provider.BACKEND} adapter answered`,
      "install a GPU driver, or run: bun run doctor --fix (adds a software driver)",
      1,
    );
  }
  const chosen = wanted ? found.find((f) => matchesDevice(f.described, wanted)) : found[0];
  if (!chosen) {
    const names = found.map((f) => `${f.described.device || f.described.description} (${f.described.type})`).join(", ");
    throw new UserError(`No adapter matches --device ${wanted}`, `there are: ${names}`);
  }
  const device = await provider.requestDevice(chosen.adapter, chosen.chain, WANTED);
  return { adapter: chosen.described, device, provider };
}
