/**
 * Finding an adapter and opening a device on it. The only file that knows which provider of WebGPU runs; everything
 * else sees a standard `GPUDevice`.
 */
import { UserError } from "../errors.ts";
import type { Heap, Toggles } from "./dawn/adapter.ts";
import { type ProvidedAdapter, type Provider, type ProviderInstance, providerName } from "./provider.ts";

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
  readonly provider: Provider;
  /** Sizes of the adapter's memory in bytes; empty where the driver does not say. */
  memoryHeaps(): Heap[];
  /** It computes nothing: dry-device.ts. */
  readonly dry?: true;
}

const TYPES: readonly AdapterType[] = ["unknown", "discrete", "integrated", "cpu"];

/** Reported as 4 GiB by some NVIDIA drivers that then read sizes of 2 GiB and more as 0. */
const SAFE_BINDING_BYTES = 2 ** 31 - 4;

/** Buffers that kernels bind and the host maps. Dawn has it among what may still change, hence its toggle. */
export const SHARED_MEMORY = "buffer-map-extended-usages";

const WANTED = ["timestamp-query", "subgroups", "shader-f16", SHARED_MEMORY];

/**
 * Robustness checks stay on: switching them off made no measurable difference on software Vulkan (Dawn leaves bounds to
 * the driver there), and with them off an out-of-range index is undefined behaviour rather than a wrong number.
 * `INGOT_DAWN_ENABLE` and `INGOT_DAWN_DISABLE` (comma-separated Dawn toggles) are there to measure others.
 */
const toggleNames = (variable: string): string[] => process.env[variable]?.split(",").filter(Boolean) ?? [];

const QUERIES: readonly GPURequestAdapterOptions[] = [
  { powerPreference: "high-performance" },
  { powerPreference: "low-power" },
  { forceFallbackAdapter: true },
];

function adapterOf({ info, features, limits }: ProvidedAdapter): Adapter {
  const { maxStorageBufferBindingSize = 2 ** 27 } = limits;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    backend: info.backend,
    type: TYPES[info.type] ?? "unknown",
    limits: { ...limits, maxStorageBufferBindingSize: Math.min(maxStorageBufferBindingSize, SAFE_BINDING_BYTES) },
    features: [...features],
    subgroupSize: features.has("subgroups") ? info.subgroupSize : 0,
  };
}

/** False for the backend that validates every call and runs none. */
const isReal = ({ info }: ProvidedAdapter) => info.backend !== "null" && info.device !== "null-backend";

interface Found {
  readonly provider: Provider;
  readonly adapter: ProvidedAdapter;
  readonly described: Adapter;
}

/** Opens an instance of the provider that the environment asks for. Throws a UserError when it is not installed. */
async function openProvider(toggles: Toggles): Promise<ProviderInstance> {
  if (providerName() === "webgpu") {
    const { NodeBinding } = await import("./node-binding.ts");
    return NodeBinding.open(toggles);
  }
  const { Dawn } = await import("./dawn/dawn.ts");
  return new Dawn();
}

async function findAdapters(firstOnly: boolean): Promise<Found[]> {
  const found: Found[] = [];
  const toggles = {
    enable: ["allow_unsafe_apis", ...toggleNames("INGOT_DAWN_ENABLE")],
    disable: ["timestamp_quantization", ...toggleNames("INGOT_DAWN_DISABLE")],
  };
  const provider = await openProvider(toggles);
  for (const query of QUERIES) {
    const adapter = await provider.requestAdapter(query, toggles);
    if (!adapter || !isReal(adapter)) continue;
    const described = adapterOf(adapter);
    const known = found.some((f) => f.described.device === described.device && f.described.type === described.type);
    if (!known) found.push({ provider, adapter, described });
    // A software driver is the last resort of every query: when it answers the first one there is no other.
    if (described.type === "cpu" || firstOnly) break;
  }
  return found;
}

/**
 * Finds adapters; where the system has no driver, or only one that Dawn refuses, with the software driver that was
 * fetched.
 */
async function adapters(firstOnly: boolean): Promise<Found[]> {
  const { useSwiftShader } = await import("./swiftshader.ts");
  useSwiftShader();
  const found = await findAdapters(firstOnly);
  return found.length === 0 && useSwiftShader("always") ? findAdapters(firstOnly) : found;
}

/** Every adapter that answers, best first. Adapters that compute nothing are left out. */
export async function listAdapters(): Promise<Adapter[]> {
  return (await adapters(false)).map((f) => f.described);
}

/** True when `wanted` ("cpu", "discrete", "nvidia", part of a name) means this adapter. */
export function matchesDevice(adapter: Adapter, wanted: string): boolean {
  const text = wanted.toLowerCase();
  if (text === adapter.type) return true;
  if (text === "gpu") return adapter.type !== "cpu";
  if (text === "software") return adapter.type === "cpu";
  return [adapter.vendor, adapter.device, adapter.description].some((part) => part.toLowerCase().includes(text));
}

/** The best adapter, or the one that `wanted` names. Throws a UserError when none answers, or none of that name. */
async function findAdapter(wanted: string | undefined): Promise<Found> {
  const found = await adapters(wanted === undefined);
  if (found.length === 0) {
    const { BACKEND } = await import("./dawn/dawn.ts");
    throw new UserError(
      `No ${BACKEND} adapter answered`,
      "install a GPU driver, or run: bun run doctor --fix (adds a software driver)",
      1,
    );
  }
  const chosen = wanted ? found.find((f) => matchesDevice(f.described, wanted)) : found[0];
  if (!chosen) {
    const names = found.map((f) => `${f.described.device || f.described.description} (${f.described.type})`).join(", ");
    throw new UserError(`No adapter matches --device ${wanted}`, `there are: ${names}`);
  }
  return chosen;
}

/** What the adapter that `openDevice` would open says of itself. Throws as that does. */
export const describeDevice = async (wanted?: string): Promise<Adapter> => (await findAdapter(wanted)).described;

type Opener = (wanted?: string) => Promise<Device>;

const open: Opener = async (wanted) => {
  const { provider, adapter, described } = await findAdapter(wanted);
  const device = await adapter.requestDevice(WANTED);
  return { adapter: described, device, provider, memoryHeaps: () => adapter.memoryHeaps() };
};

let opener = open;

/** Puts what opens devices into other hands: a process that runs many scripts gives them all one that stays open. */
export function provideDevices(wrap: (open: Opener) => Opener): void {
  opener = wrap(open);
}

/**
 * Opens the best adapter, or the one that `wanted` names, with all of its limits.
 * Throws a UserError when none answers: the provider would otherwise hand out one that computes nothing.
 */
export const openDevice: Opener = (wanted) => opener(wanted);
